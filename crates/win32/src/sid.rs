//! Users, as Windows names them: `S-1-5-21-…`.

use std::{
    io,
    os::windows::io::{AsRawHandle as _, BorrowedHandle, FromRawHandle as _, OwnedHandle},
    ptr::null_mut,
};

use windows_sys::Win32::{
    Foundation::{HANDLE, LocalFree},
    Security::{
        Authorization::{ConvertSidToStringSidW, GetSecurityInfo, SE_KERNEL_OBJECT},
        GetTokenInformation, OWNER_SECURITY_INFORMATION, PSID, TOKEN_QUERY, TOKEN_USER, TokenUser,
    },
    System::Threading::{GetCurrentProcess, OpenProcessToken},
};

/// A name of a user. Equal names are the same user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sid(String);

impl Sid {
    /// As it stands in a security descriptor.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// That of this process.
    pub(crate) fn own() -> io::Result<Self> {
        #[expect(unsafe_code, reason = "no safe function gives it")]
        // SAFETY: it takes nothing, and what it gives is no handle that would have to be closed.
        let process = unsafe { GetCurrentProcess() };
        of_process(process)
    }

    /// That of another process.
    pub(crate) fn of_process(process: BorrowedHandle<'_>) -> io::Result<Self> {
        of_process(process.as_raw_handle())
    }

    /// That of whoever owns a pipe: who made it, or another that they named; nobody may name one that they are not.
    pub(crate) fn of_owner(pipe: BorrowedHandle<'_>) -> io::Result<Self> {
        let (mut owner, mut descriptor) = (null_mut(), null_mut());
        #[expect(unsafe_code, reason = "no safe function gives it")]
        // SAFETY: the handle is open, since it is borrowed; both places that it writes to are ours; the others may be null.
        let result = unsafe {
            GetSecurityInfo(
                pipe.as_raw_handle(),
                SE_KERNEL_OBJECT,
                OWNER_SECURITY_INFORMATION,
                &raw mut owner,
                null_mut(),
                null_mut(),
                null_mut(),
                &raw mut descriptor,
            )
        };
        if result != 0 {
            return Err(io::Error::from_raw_os_error(i32::try_from(result).unwrap_or(i32::MAX)));
        }
        let descriptor = Local(descriptor);
        if owner.is_null() {
            return Err(io::Error::other("it has no owner"));
        }
        let owner = text(owner);
        // What `owner` points into.
        drop(descriptor);
        owner
    }
}

fn of_process(process: HANDLE) -> io::Result<Sid> {
    let mut token = null_mut();
    #[expect(unsafe_code, reason = "no safe function gives it")]
    // SAFETY: both callers have an open handle; what it writes to is ours.
    let opened = unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) };
    if opened == 0 {
        return Err(io::Error::last_os_error());
    }
    #[expect(unsafe_code, reason = "what was opened is to be closed")]
    // SAFETY: it was opened just now, and nobody else has it.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // Room for the largest name, aligned for the structure in front of it.
    let mut buffer = [0_u64; 32];
    let mut length = 0;
    #[expect(unsafe_code, reason = "no safe function gives it")]
    // SAFETY: the token is open, and it is told how many bytes of the buffer are ours.
    let told = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            buffer.as_mut_ptr().cast(),
            u32::try_from(size_of_val(&buffer)).unwrap_or(0),
            &raw mut length,
        )
    };
    if told == 0 {
        return Err(io::Error::last_os_error());
    }
    #[expect(unsafe_code, reason = "Windows writes a structure into bytes")]
    // SAFETY: it succeeded, so the buffer begins with this structure, for which it is large enough and aligned.
    let user = unsafe { buffer.as_ptr().cast::<TOKEN_USER>().read() };
    // What it points to lies in the buffer.
    text(user.User.Sid)
}

/// `sid` points to a name that Windows has made and that still lives.
fn text(sid: PSID) -> io::Result<Sid> {
    let mut text = null_mut();
    #[expect(unsafe_code, reason = "no safe function gives it")]
    // SAFETY: see above; what it writes to is ours.
    let converted = unsafe { ConvertSidToStringSidW(sid, &raw mut text) };
    if converted == 0 {
        return Err(io::Error::last_os_error());
    }
    let memory = Local(text.cast());
    let mut words = Vec::new();
    loop {
        #[expect(unsafe_code, reason = "a text of Windows is a pointer and ends with a zero")]
        // SAFETY: all words before were not zero, so this one is of the text still, or its zero.
        let word = unsafe { text.add(words.len()).read() };
        if word == 0 {
            break;
        }
        words.push(word);
    }
    drop(memory);
    Ok(Sid(String::from_utf16_lossy(&words)))
}

/// Memory that Windows gave and wants back.
#[derive(Debug)]
pub(crate) struct Local(pub(crate) *mut core::ffi::c_void);

#[expect(unsafe_code, reason = "a pointer is not Send by itself")]
// SAFETY: the memory belongs to no thread, and whoever has this is the only one to have it.
unsafe impl Send for Local {}

impl Drop for Local {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "no safe function does it")]
        // SAFETY: it came from a function that gives such memory, is freed once, and null is nothing.
        let _ = unsafe { LocalFree(self.0) };
    }
}
