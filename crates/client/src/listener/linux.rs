//! What `/proc` tells of processes and sockets.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use types::DaemonFile;

/// The state of a socket that listens, as `/proc/net/tcp` writes it.
const LISTENS: &str = "0A";

pub(super) fn is_somebody_else(file: &Path, daemon: &DaemonFile, address: SocketAddr) -> Result<(), String> {
    let pid = daemon.pid;
    let us = rustix::process::geteuid().as_raw();
    if fs::metadata(file).is_ok_and(|found| found.uid() != us) {
        return Err(format!("{} belongs to another user", file.display()));
    }
    let Ok(process) = fs::metadata(format!("/proc/{pid}")) else {
        // Without /proc there is nothing to be learnt.
        return if Path::new("/proc/self").exists() { Err(format!("the process {pid} is gone")) } else { Ok(()) };
    };
    if process.uid() != us {
        return Err(format!("the process {pid} belongs to another user now"));
    }
    // Not by the clock, which may have been set since.
    if daemon.process_start.is_some_and(|start| process_start(pid) != Some(start)) {
        return Err(format!("the process {pid} is another one, started after the daemon"));
    }
    let Some(sockets) = listening(address) else { return Ok(()) };
    let own = sockets_of(pid).map_err(|error| format!("what the process {pid} has open can't be seen ({error})"))?;
    if let Some(other) = sockets.iter().find(|socket| !own.contains(&socket.inode)) {
        return Err(format!("a process of the user with the uid {} has that port", other.uid));
    }
    Ok(())
}

pub(super) fn process_start(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in brackets, and may have some itself.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// A socket that listens.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    uid: u32,
    inode: u64,
}

/// Those that a connection to this address reaches; `None` when that is not told.
fn listening(address: SocketAddr) -> Option<Vec<Socket>> {
    let mut all = Vec::new();
    let mut told = false;
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        if let Ok(text) = fs::read_to_string(table) {
            told = true;
            all.extend(text.lines().skip(1).filter_map(|line| read(line, address.port())));
        }
    }
    // One that listens at that very address comes before one that listens at all of them.
    let exact = |socket: &Socket| socket.address == address.ip();
    if all.iter().any(exact) {
        all.retain(exact);
    } else {
        all.retain(|socket| socket.address.is_unspecified());
    }
    (told && !all.is_empty()).then_some(all)
}

/// A line of the table: `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode`.
fn read(line: &str, port: u16) -> Option<Socket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, of_port) = fields.get(1)?.split_once(':')?;
    if *fields.get(3)? != LISTENS || u16::from_str_radix(of_port, 16).ok()? != port {
        return None;
    }
    let (uid, inode) = (fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?);
    Some(Socket { address: read_address(address)?, uid, inode })
}

/// Words of 32 bits, each as the machine has it in memory.
fn read_address(text: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = (0..text.len() / 8)
        .map(|word| u32::from_str_radix(text.get(word * 8..word * 8 + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    match words.as_slice() {
        [word] => Some(Ipv4Addr::from(*word).into()),
        [_, _, _, _] => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            let address = Ipv6Addr::from(bytes);
            Some(address.to_ipv4_mapped().map_or(address.into(), Into::into))
        }
        _ => None,
    }
}

/// The sockets that a process has open.
fn sockets_of(pid: u32) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        // It may be closed by now.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let inode =
            target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok());
        found.extend(inode);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use types::Timestamp;

    use super::*;

    fn daemon(pid: u32, process_start: Option<u64>) -> DaemonFile {
        DaemonFile {
            pid,
            process_start,
            started_at: Timestamp::now(),
            version: "1".to_owned(),
            http: None,
            socket: None,
        }
    }

    #[test]
    fn a_process_that_listens_is_known_by_its_socket() {
        let own = std::process::id();
        assert!(process_start(own).is_some());
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap().port();
            let reached = match listener.local_addr().unwrap().ip() {
                IpAddr::V6(ip) if !ip.is_unspecified() => SocketAddr::new(ip.into(), port),
                _ => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
            };
            let look = |daemon: &DaemonFile| is_somebody_else(Path::new("/proc/self"), daemon, reached);
            assert_eq!(look(&daemon(own, process_start(own))), Ok(()), "{address}");
            // Another process of this user, which lives and has no such socket.
            let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            let other = look(&daemon(child.id(), process_start(child.id())));
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(other.as_ref().is_err_and(|why| why.contains("has that port")), "{address}: {other:?}");
            let gone = look(&daemon(child.id(), None));
            assert!(gone.as_ref().is_err_and(|why| why.contains("is gone")), "{address}: {gone:?}");
            let younger = look(&daemon(own, Some(1)));
            assert!(younger.as_ref().is_err_and(|why| why.contains("another one")), "{address}: {younger:?}");
        }
    }

    #[test]
    fn the_table_is_read_as_the_kernel_writes_it() {
        let line = "   0: 0100007F:2253 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 31234 1 0 100 0 0 10 0";
        let socket = Socket { address: Ipv4Addr::LOCALHOST.into(), uid: 1000, inode: 31234 };
        if cfg!(target_endian = "little") {
            assert_eq!(read(line, 8787), Some(socket));
        }
        assert_eq!(read(line, 8788), None);
        assert_eq!(read(&line.replace(" 0A ", " 01 "), 8787), None);
        assert_eq!(read("nonsense", 8787), None);
        let six = "00000000000000000000000001000000";
        if cfg!(target_endian = "little") {
            assert_eq!(read_address(six), Some(Ipv6Addr::LOCALHOST.into()));
            assert_eq!(read_address("0000000000000000FFFF00000100007F"), Some(Ipv4Addr::LOCALHOST.into()));
        }
        assert_eq!(read_address("xyz"), None);
    }
}
