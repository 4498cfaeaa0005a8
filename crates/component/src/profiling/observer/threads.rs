//! Threads of another process: which of them run, and what they are at.

use std::{
    collections::HashMap,
    fs,
    io::{self, IoSliceMut},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::user_regs_struct,
    sys::{
        ptrace,
        uio::{RemoteIoVec, process_vm_readv},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// How much of a stack is copied at most, in bytes.
const STACK: usize = 256 << 10;
/// The kernel copies whole pieces: so long they are, in bytes, and none crosses a page.
const PAGE: usize = 4096;
/// What functions may use beyond the end of the stack, in bytes.
const RED_ZONE: u64 = 128;

/// What every thread of a process has used.
pub(super) struct Threads {
    process: Pid,
    /// How much processor time had been used by each when it was last seen running, in nanoseconds.
    used: HashMap<Pid, u64>,
}

/// A thread that runs.
pub(super) struct Running {
    pub(super) thread: Pid,
    /// The processor time that it took since it was last seen running.
    pub(super) time: Duration,
}

impl Threads {
    /// The threads of a process as they are now.
    pub(super) fn of(process: Pid) -> io::Result<Self> {
        let mut threads = Self { process, used: HashMap::new() };
        threads.used = threads.list()?.into_iter().filter_map(|thread| Some((thread, threads.used(thread)?))).collect();
        Ok(threads)
    }

    /// Those that run, or would if a processor were free.
    pub(super) fn running(&mut self) -> io::Result<Vec<Running>> {
        let mut running = Vec::new();
        for thread in self.list()? {
            // What has ended meanwhile is passed over.
            if self.state(thread) != Some(b'R') {
                continue;
            }
            let Some(used) = self.used(thread) else { continue };
            let before = self.used.insert(thread, used).unwrap_or_default();
            let time = Duration::from_nanos(used.saturating_sub(before));
            running.push(Running { thread, time });
        }
        Ok(running)
    }

    fn list(&self) -> io::Result<Vec<Pid>> {
        let mut threads = Vec::new();
        for entry in fs::read_dir(format!("/proc/{}/task", self.process))? {
            threads.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid::from_raw));
        }
        Ok(threads)
    }

    fn state(&self, thread: Pid) -> Option<u8> {
        let stat = fs::read(format!("/proc/{}/task/{thread}/stat", self.process)).ok()?;
        // The name before it may hold anything.
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        stat.get(end + 2).copied()
    }

    fn used(&self, thread: Pid) -> Option<u64> {
        let told = fs::read_to_string(format!("/proc/{}/task/{thread}/schedstat", self.process)).ok()?;
        told.split(' ').next()?.parse().ok()
    }
}

/// What a thread was at.
pub(super) struct Caught {
    pub(super) registers: user_regs_struct,
    /// Where the copy of its stack begins.
    base: u64,
    stack: Vec<u8>,
}

impl Caught {
    /// A word of its stack.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.base)?).ok()?;
        let word = self.stack.get(at..at.checked_add(8)?)?;
        Some(u64::from_ne_bytes(word.try_into().ok()?))
    }
}

/// Stops a thread, copies what it is at, and lets it go on. `None` when it has ended.
///
/// # Errors
/// When that is not allowed, or somebody else has stopped it.
pub(super) fn catch(thread: Pid) -> nix::Result<Option<Caught>> {
    match ptrace::seize(thread, ptrace::Options::empty()) {
        Err(Errno::ESRCH) => return Ok(None),
        seized => seized?,
    }
    let stopped = ptrace::interrupt(thread).and_then(|()| waitpid(thread, Some(WaitPidFlag::__WALL)));
    // A signal that came just then is not ours to swallow.
    let (caught, signal) = match stopped {
        Ok(WaitStatus::PtraceEvent(..)) => (copy(thread), None),
        Ok(WaitStatus::Stopped(_, signal)) => (copy(thread), Some(signal)),
        Ok(_) | Err(Errno::ESRCH) => return Ok(None),
        // Such as one without a name: when this process ends, the kernel delivers it.
        Err(error) => return Err(error),
    };
    match ptrace::detach(thread, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(caught.ok()),
        Err(error) => Err(error),
    }
}

fn copy(thread: Pid) -> nix::Result<Caught> {
    let registers = ptrace::getregs(thread)?;
    let base = super::stacks::stack_pointer(&registers).saturating_sub(RED_ZONE) & !7;
    let stack = read(thread, base, STACK)?;
    Ok(Caught { registers, base, stack })
}

/// Memory of another process, from there on, as much of it as there is.
pub(super) fn read(process: Pid, address: u64, length: usize) -> nix::Result<Vec<u8>> {
    let (mut from, end) = (usize::try_from(address).unwrap_or(usize::MAX), length);
    let mut pieces = Vec::new();
    let mut covered = 0;
    while covered < end {
        let len = (PAGE - from % PAGE).min(end - covered);
        pieces.push(RemoteIoVec { base: from, len });
        from = from.checked_add(len).ok_or(Errno::EFAULT)?;
        covered += len;
    }
    let mut bytes = vec![0; length];
    let read = process_vm_readv(process, &mut [IoSliceMut::new(&mut bytes)], &pieces)?;
    bytes.truncate(read);
    Ok(bytes)
}
