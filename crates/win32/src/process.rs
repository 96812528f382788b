//! Who is who among processes.

use std::{
    collections::HashMap,
    io,
    os::windows::io::{AsHandle as _, AsRawHandle as _, BorrowedHandle, FromRawHandle as _, OwnedHandle},
};

use windows_sys::Win32::{
    Foundation::{FILETIME, HANDLE_FLAG_INHERIT, INVALID_HANDLE_VALUE, SetHandleInformation, WAIT_TIMEOUT},
    System::{
        Console::{GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE},
        Diagnostics::ToolHelp::{
            CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
        },
        Threading::{
            GetProcessTimes, OpenProcess, PROCESS_ACCESS_RIGHTS, PROCESS_QUERY_INFORMATION,
            PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, TerminateProcess,
            WaitForSingleObject,
        },
    },
};

use crate::sid::Sid;

/// A process that is held: its number is not given to another one meanwhile.
#[derive(Debug)]
pub struct Process(OwnedHandle);

impl Process {
    /// Takes hold of one; none when there is none with this number.
    ///
    /// # Errors
    /// When Windows does not let us.
    pub fn open(pid: u32) -> io::Result<Option<Self>> {
        Self::with(pid, PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE)
    }

    /// The same, to end it. Wine wants the larger right to say of which job it is.
    pub(crate) fn open_to_end(pid: u32) -> io::Result<Option<Self>> {
        Self::with(pid, PROCESS_QUERY_INFORMATION | PROCESS_SYNCHRONIZE | PROCESS_TERMINATE)
    }

    pub(crate) fn handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }

    /// Ends it. Only for one that was opened for that.
    pub(crate) fn end(&self) -> io::Result<()> {
        #[expect(unsafe_code, reason = "no safe function ends a process that is no child")]
        // SAFETY: the handle is open; without the right it fails.
        let ended = unsafe { TerminateProcess(self.0.as_raw_handle(), 1) };
        // It may have ended by itself since.
        if ended == 0 && self.runs() { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn with(pid: u32, rights: PROCESS_ACCESS_RIGHTS) -> io::Result<Option<Self>> {
        /// What Windows says of a number that no process has.
        const INVALID_PARAMETER: i32 = 87;
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: it takes numbers only.
        let handle = unsafe { OpenProcess(rights, 0, pid) };
        if handle.is_null() {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(INVALID_PARAMETER) { Ok(None) } else { Err(error) };
        }
        #[expect(unsafe_code, reason = "what was opened is to be closed")]
        // SAFETY: it was opened just now, and nobody else has it.
        let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
        Ok(Some(Self(handle)))
    }

    /// When it was started, in 100 ns since 1601.
    ///
    /// # Errors
    /// When Windows does not tell.
    pub fn start(&self) -> io::Result<u64> {
        let none = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
        let (mut created, mut exited, mut kernel, mut user) = (none, none, none, none);
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: the handle is open; what it writes to is ours.
        let told = unsafe {
            GetProcessTimes(self.0.as_raw_handle(), &raw mut created, &raw mut exited, &raw mut kernel, &raw mut user)
        };
        if told == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(u64::from(created.dwHighDateTime) << 32 | u64::from(created.dwLowDateTime))
    }

    /// Whether it still runs. One that has ended can be held as well.
    #[must_use]
    pub fn runs(&self) -> bool {
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: the handle is open and may be waited for.
        let waited = unsafe { WaitForSingleObject(self.0.as_raw_handle(), 0) };
        waited == WAIT_TIMEOUT
    }

    /// Whether it is this user's.
    ///
    /// # Errors
    /// When Windows does not tell.
    pub fn is_ours(&self) -> io::Result<bool> {
        Ok(Sid::of_process(self.0.as_handle())? == Sid::own()?)
    }
}

/// When the process with this number was started, if it runs and that is told.
#[must_use]
pub fn start(pid: u32) -> Option<u64> {
    let process = Process::open(pid).ok().flatten().filter(Process::runs)?;
    process.start().ok()
}

/// Ends the process that has this number and was started then; nothing else. True when it was there.
///
/// # Errors
/// When Windows does not let us.
pub fn end(pid: u32, started: u64) -> io::Result<bool> {
    let Some(process) = Process::open_to_end(pid)? else { return Ok(false) };
    if !process.runs() || process.start()? != started {
        return Ok(false);
    }
    process.end().map(|()| true)
}

/// Keeps what this process reads and writes from whatever it starts: who waits for the end of our output must not wait for theirs.
/// What a command is to have is given to it all the same.
pub fn keep_standard_handles() {
    for which in [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: it takes a number only.
        let handle = unsafe { GetStdHandle(which) };
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: nobody closes those; what is no handle is refused.
        let _ = unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0) };
    }
}

/// Of each process which one started it, at one moment. The parent may be gone, and its number another's: whoever is younger than its child is
/// not its parent.
///
/// # Errors
/// When Windows does not tell.
pub fn parents() -> io::Result<HashMap<u32, u32>> {
    #[expect(unsafe_code, reason = "no safe function does it")]
    // SAFETY: it takes numbers only.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    #[expect(unsafe_code, reason = "what was opened is to be closed")]
    // SAFETY: it was opened just now, and nobody else has it.
    let snapshot = unsafe { OwnedHandle::from_raw_handle(snapshot) };
    let size = u32::try_from(size_of::<PROCESSENTRY32W>()).unwrap_or(0);
    let mut entry = PROCESSENTRY32W { dwSize: size, ..PROCESSENTRY32W::default() };
    let mut parents = HashMap::new();
    #[expect(unsafe_code, reason = "no safe function does it")]
    // SAFETY: the snapshot is open, and the entry says how large it is.
    let mut more = unsafe { Process32FirstW(snapshot.as_raw_handle(), &raw mut entry) };
    while more != 0 {
        parents.insert(entry.th32ProcessID, entry.th32ParentProcessID);
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: as above.
        let next = unsafe { Process32NextW(snapshot.as_raw_handle(), &raw mut entry) };
        more = next;
    }
    Ok(parents)
}
