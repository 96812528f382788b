//! Named pipes that only this user can open.
//!
//! A pipe has a name in a folder that all users of the machine share. Who makes it first says who may open it, so:
//!
//! - whoever listens is refused when the name is taken already, and lets in this user alone, from this machine alone;
//! - whoever connects looks who owns the pipe before a byte is said ([`is_ours`]): nobody can make a pipe that another user owns. Meanwhile the
//!   server can learn who they are, and not act as them.
//!
//! The system's administrators can take what they like, here as everywhere.

use std::{
    ffi::{OsStr, OsString},
    fs::OpenOptions,
    io, mem,
    os::windows::io::{AsRawHandle as _, BorrowedHandle},
    process::Stdio,
    ptr::null_mut,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions};
use windows_sys::Win32::{
    Security::{
        Authorization::{ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1},
        SECURITY_ATTRIBUTES,
    },
    System::Pipes::GetNamedPipeClientProcessId,
};

use crate::sid::{Local, Sid};

/// What Windows says when all that listen have been taken and the next one is not there yet.
const PIPE_BUSY: i32 = 231;

/// How long to wait for it.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// What the system keeps of what a child, or we, have not read.
const CHILD_BUFFER: u32 = 64 * 1024;

/// Listens. There is always one end that nobody has connected to yet, so that the name stays ours.
#[derive(Debug)]
pub struct Listener {
    name: OsString,
    buffer: u32,
    access: Access,
    waiting: NamedPipeServer,
}

impl Listener {
    /// Begins. The name is like `\\.\pipe\NAME`; of what a side has not read the system keeps up to `buffer` bytes.
    ///
    /// # Errors
    /// When the name is taken, by whomever, or Windows does not give one.
    pub fn bind(name: &OsStr, buffer: u32) -> io::Result<Self> {
        let access = Access::own()?;
        let waiting = access.make(name, true, buffer)?;
        Ok(Self { name: name.to_owned(), buffer, access, waiting })
    }

    /// Completes when [`Listener::accept`] will not wait.
    pub async fn ready(&self) {
        let _ = self.waiting.connect().await;
    }

    /// The next connection; none when it was gone before it was looked at. Can be dropped and called again without losing one.
    ///
    /// # Errors
    /// When Windows gives no further end; nothing is lost by that.
    pub async fn accept(&mut self) -> io::Result<Option<NamedPipeServer>> {
        let connected = self.waiting.connect().await;
        let next = self.access.make(&self.name, false, self.buffer)?;
        let stream = mem::replace(&mut self.waiting, next);
        Ok(connected.ok().map(|()| stream))
    }
}

/// A pipe to a process that is about to be started, and what it is to be given. Only from within a runtime.
///
/// # Errors
/// When Windows does not give one.
pub async fn for_child() -> io::Result<(NamedPipeServer, Stdio)> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let access = Access::own()?;
    let (mut tries, pid) = (0, std::process::id());
    let (name, server) = loop {
        let name = format!(r"\\.\pipe\codexd-child-{pid}-{}", MADE.fetch_add(1, Ordering::Relaxed));
        match access.make(OsStr::new(&name), true, CHILD_BUFFER) {
            Ok(server) => break (name, server),
            // Somebody has taken that name.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && tries < 16 => tries += 1,
            Err(error) => return Err(error),
        }
    };
    let theirs = OpenOptions::new().read(true).write(true).open(name)?;
    server.connect().await?;
    Ok((server, theirs.into()))
}

/// The process that connected.
#[must_use]
pub fn client(pipe: &NamedPipeServer) -> Option<u32> {
    let mut pid = 0;
    #[expect(unsafe_code, reason = "no safe function does it")]
    // SAFETY: the pipe is open; what it writes to is ours.
    let told = unsafe { GetNamedPipeClientProcessId(pipe.as_raw_handle(), &raw mut pid) };
    (told != 0 && pid != 0).then_some(pid)
}

/// Connects. Waits while it is busy: for how long is for the caller to say.
///
/// # Errors
/// When nobody listens, or we may not.
pub async fn connect(name: &OsStr) -> io::Result<NamedPipeClient> {
    loop {
        match ClientOptions::new().open(name) {
            Err(error) if error.raw_os_error() == Some(PIPE_BUSY) => tokio::time::sleep(BUSY_PAUSE).await,
            opened => return opened,
        }
    }
}

/// Whether a pipe belongs to this user.
///
/// # Errors
/// When Windows does not tell.
pub fn is_ours(pipe: &NamedPipeClient) -> io::Result<bool> {
    #[expect(unsafe_code, reason = "tokio gives the handle only as a number")]
    // SAFETY: it is open for as long as the pipe is, which is borrowed for longer.
    let handle = unsafe { BorrowedHandle::borrow_raw(pipe.as_raw_handle()) };
    Ok(Sid::of_owner(handle)? == Sid::own()?)
}

/// Who may do what: this user everything, nobody else anything.
#[derive(Debug)]
struct Access(Local);

#[expect(unsafe_code, reason = "a pointer is not Sync by itself")]
// SAFETY: what it points to is only read after it was made.
unsafe impl Sync for Access {}

impl Access {
    fn own() -> io::Result<Self> {
        let user = Sid::own()?;
        // Owner, and a list that inherits nothing (P) and allows (A) all that there is for files (FA) to one.
        let text = format!("O:{0}D:P(A;;FA;;;{0})", user.as_str());
        let words: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let mut descriptor = null_mut();
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: the text ends with a zero; what it writes to is ours; the length may be null.
        let made = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                words.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        };
        if made == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(Local(descriptor)))
    }

    fn make(&self, name: &OsStr, first: bool, buffer: u32) -> io::Result<NamedPipeServer> {
        let mut attributes = SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(0),
            lpSecurityDescriptor: self.0.0,
            bInheritHandle: 0,
        };
        let mut options = ServerOptions::new();
        options.first_pipe_instance(first).reject_remote_clients(true);
        options.in_buffer_size(buffer).out_buffer_size(buffer);
        #[expect(unsafe_code, reason = "tokio takes the rights as a pointer")]
        // SAFETY: it points to such a structure, whose descriptor lives as long as we do.
        let made = unsafe { options.create_with_security_attributes_raw(name, (&raw mut attributes).cast()) };
        made
    }
}

#[cfg(test)]
mod tests {
    use windows_sys::Win32::Security::{
        Authorization::{ConvertSecurityDescriptorToStringSecurityDescriptorW, GetSecurityInfo, SE_KERNEL_OBJECT},
        DACL_SECURITY_INFORMATION, OWNER_SECURITY_INFORMATION,
    };

    use super::*;

    /// Who owns it and who may do what, as Windows has it.
    fn rights(pipe: &NamedPipeServer) -> String {
        let asked = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
        let (mut descriptor, mut text, mut length) = (null_mut(), null_mut(), 0);
        #[expect(unsafe_code, reason = "no safe function gives it")]
        // SAFETY: the pipe is open; what it writes to is ours; the others may be null.
        let got = unsafe {
            GetSecurityInfo(
                pipe.as_raw_handle(),
                SE_KERNEL_OBJECT,
                asked,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                &raw mut descriptor,
            )
        };
        assert_eq!(got, 0);
        let descriptor = Local(descriptor);
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: the descriptor was made just now; what it writes to is ours.
        let told = unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                descriptor.0,
                SDDL_REVISION_1,
                asked,
                &raw mut text,
                &raw mut length,
            )
        };
        assert_ne!(told, 0);
        let memory = Local(text.cast());
        #[expect(unsafe_code, reason = "a text of Windows is a pointer and a length")]
        // SAFETY: Windows has said how long the text is that it has made.
        let words = unsafe { std::slice::from_raw_parts(text, usize::try_from(length).unwrap()) };
        let text = String::from_utf16_lossy(words).trim_end_matches('\0').to_owned();
        drop(memory);
        text
    }

    #[tokio::test]
    async fn nobody_else_may_do_anything_with_a_pipe() {
        let name = format!(r"\\.\pipe\win32-test-{}-rights", std::process::id());
        let mut listener = Listener::bind(OsStr::new(&name), 4096).unwrap();
        let own = Sid::own().unwrap();
        let only = format!("O:{0}D:P(A;;FA;;;{0})", own.as_str());
        assert_eq!(rights(&listener.waiting), only);
        let _client = connect(OsStr::new(&name)).await.unwrap();
        assert_eq!(rights(&listener.accept().await.unwrap().unwrap()), only);
        assert_eq!(rights(&listener.waiting), only, "the next one");
        assert_eq!(rights(&for_child().await.unwrap().0), only);
    }
}
