//! A Job Object around this process, in which everything is that it starts from then on.

use std::{
    io,
    os::windows::io::{AsRawHandle as _, BorrowedHandle},
    ptr::null,
};

use windows_sys::Win32::System::{
    JobObjects::{
        AssignProcessToJobObject, CreateJobObjectW, IsProcessInJob, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
        JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicProcessIdList, JobObjectExtendedLimitInformation,
        QueryInformationJobObject, SetInformationJobObject,
    },
    Threading::GetCurrentProcess,
};

use crate::process::Process;

/// So many processes are seen at a look.
const MOST: usize = 1024;

/// What Windows says when there are more.
const MORE_DATA: i32 = 234;

/// The job. It is never closed but by the end of this process, which ends whatever is in it.
#[derive(Debug)]
pub struct Job(BorrowedHandle<'static>);

impl Job {
    /// Puts this process into a new one. Nothing that it starts can leave.
    ///
    /// # Errors
    /// When Windows does not let us.
    pub fn around_this_process() -> io::Result<Self> {
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: no name, and the rights that are usual.
        let handle = unsafe { CreateJobObjectW(null(), null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        #[expect(unsafe_code, reason = "a job that is closed ends this process, so nobody may close it")]
        // SAFETY: it was opened just now, and is left open for as long as this process lives.
        let job = unsafe { BorrowedHandle::borrow_raw(handle) };
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        let size = u32::try_from(size_of_val(&limits)).unwrap_or(0);
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: the handle is open, and it is told how large the structure is.
        let set = unsafe {
            SetInformationJobObject(
                job.as_raw_handle(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                size,
            )
        };
        if set == 0 {
            return Err(io::Error::last_os_error());
        }
        #[expect(unsafe_code, reason = "no safe function gives it")]
        // SAFETY: it takes nothing, and what it gives is no handle that would have to be closed.
        let own = unsafe { GetCurrentProcess() };
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: both handles are open.
        let assigned = unsafe { AssignProcessToJobObject(job.as_raw_handle(), own) };
        if assigned == 0 { Err(io::Error::last_os_error()) } else { Ok(Self(job)) }
    }

    /// Ends everything that is in it but this process. Says how many there were.
    ///
    /// # Errors
    /// When Windows does not tell who is in it.
    pub fn end_others(&self) -> io::Result<usize> {
        let mut others = 0;
        for pid in self.members()?.into_iter().filter(|pid| *pid != std::process::id()) {
            // It may have ended since, and its number may be another's.
            if let Ok(Some(process)) = Process::open_to_end(pid)
                && self.has(&process)
                && process.runs()
            {
                others += 1;
                let _ = process.end();
            }
        }
        Ok(others)
    }

    fn has(&self, process: &Process) -> bool {
        let mut has = 0;
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: both handles are open; what it writes to is ours.
        let told = unsafe { IsProcessInJob(process.handle().as_raw_handle(), self.0.as_raw_handle(), &raw mut has) };
        told != 0 && has != 0
    }

    fn members(&self) -> io::Result<Vec<u32>> {
        /// The structure of Windows, with room for more than one.
        #[repr(C)]
        struct List {
            assigned: u32,
            listed: u32,
            pids: [usize; MOST],
        }
        let mut list = Box::new(List { assigned: 0, listed: 0, pids: [0; MOST] });
        let size = u32::try_from(size_of::<List>()).unwrap_or(0);
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: the handle is open, and it is told how large the structure is.
        let told = unsafe {
            QueryInformationJobObject(
                self.0.as_raw_handle(),
                JobObjectBasicProcessIdList,
                (&raw mut *list).cast(),
                size,
                std::ptr::null_mut(),
            )
        };
        if told == 0 {
            let error = io::Error::last_os_error();
            // The others come when these have gone.
            if error.raw_os_error() != Some(MORE_DATA) {
                return Err(error);
            }
        }
        let listed = usize::try_from(list.listed).unwrap_or(MOST).min(MOST);
        Ok(list.pids[..listed].iter().filter_map(|pid| u32::try_from(*pid).ok()).collect())
    }
}
