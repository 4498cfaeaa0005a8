//! The pause image, built into the kubelet.
//!
//! One static program of about three hundred bytes: it blocks SIGINT, SIGTERM and SIGCHLD, waits for them, reaps
//! children on SIGCHLD (it is process 1 of pods that share their process namespace) and exits on the others. A
//! blocked signal reaches process 1 even though it has no handler, so none has to be installed. The machine code is
//! written out here, because it must be there without any compiler or registry.

use bytes::Bytes;

use super::{Result, RuntimeError};

/// The image's name.
pub const IMAGE: &str = "ferrokube/pause:1";
/// What an import must be told.
pub const CHANGES: [&str; 1] = [r#"ENTRYPOINT ["/pause"]"#];

/// SIGINT (2), SIGTERM (15) and SIGCHLD (17), as a signal set.
const SIGNALS: u64 = 1 << 1 | 1 << 14 | 1 << 16;

/// An architecture's machine number in ELF and its program; the signal set follows the program directly.
struct Program {
    machine: u16,
    code: &'static [u8],
}

#[rustfmt::skip]
const X86_64: Program = Program {
    machine: 62,
    code: &[
        // rt_sigprocmask(SIG_BLOCK, &signals, NULL, 8)
        0xb8, 14, 0, 0, 0,                          //  0 mov eax, 14
        0x31, 0xff,                                 //  5 xor edi, edi
        0x48, 0x8d, 0x35, 81, 0, 0, 0,              //  7 lea rsi, [rip + 81]   -> signals
        0x31, 0xd2,                                 // 14 xor edx, edx
        0x41, 0xba, 8, 0, 0, 0,                     // 16 mov r10d, 8
        0x0f, 0x05,                                 // 22 syscall
        // wait: rt_sigtimedwait(&signals, NULL, NULL, 8)
        0xb8, 128, 0, 0, 0,                         // 24 mov eax, 128
        0x48, 0x8d, 0x3d, 59, 0, 0, 0,              // 29 lea rdi, [rip + 59]   -> signals
        0x31, 0xf6,                                 // 36 xor esi, esi
        0x31, 0xd2,                                 // 38 xor edx, edx
        0x41, 0xba, 8, 0, 0, 0,                     // 40 mov r10d, 8
        0x0f, 0x05,                                 // 46 syscall
        0x83, 0xf8, 17,                             // 48 cmp eax, SIGCHLD
        0x74, 13,                                   // 51 je reap
        0x85, 0xc0,                                 // 53 test eax, eax
        0x78, 0xdf,                                 // 55 js wait               (interrupted)
        // exit_group(0)
        0xb8, 231, 0, 0, 0,                         // 57 mov eax, 231
        0x31, 0xff,                                 // 62 xor edi, edi
        0x0f, 0x05,                                 // 64 syscall
        // reap: wait4(-1, NULL, WNOHANG, NULL)
        0x6a, 0xff,                                 // 66 push -1
        0x5f,                                       // 68 pop rdi
        0x31, 0xf6,                                 // 69 xor esi, esi
        0x6a, 1,                                    // 71 push 1
        0x5a,                                       // 73 pop rdx
        0x4d, 0x31, 0xd2,                           // 74 xor r10, r10
        0x6a, 61,                                   // 77 push 61
        0x58,                                       // 79 pop rax
        0x0f, 0x05,                                 // 80 syscall
        0x85, 0xc0,                                 // 82 test eax, eax
        0x7f, 0xec,                                 // 84 jg reap
        0xeb, 0xc0,                                 // 86 jmp wait
        0x0f, 0x1f, 0x44, 0, 0, 0x0f, 0x0b,         // 88 nop; ud2
    ],
};

#[rustfmt::skip]
const AARCH64: Program = Program {
    machine: 183,
    code: &[
        0x93, 0x03, 0x00, 0x10,                     //   0 adr x19, #112        -> signals
        // rt_sigprocmask(SIG_BLOCK, &signals, NULL, 8)
        0x00, 0x00, 0x80, 0xd2,                     //   4 mov x0, #0
        0xe1, 0x03, 0x13, 0xaa,                     //   8 mov x1, x19
        0x02, 0x00, 0x80, 0xd2,                     //  12 mov x2, #0
        0x03, 0x01, 0x80, 0xd2,                     //  16 mov x3, #8
        0xe8, 0x10, 0x80, 0xd2,                     //  20 mov x8, #135
        0x01, 0x00, 0x00, 0xd4,                     //  24 svc #0
        // wait: rt_sigtimedwait(&signals, NULL, NULL, 8)
        0xe0, 0x03, 0x13, 0xaa,                     //  28 mov x0, x19
        0x01, 0x00, 0x80, 0xd2,                     //  32 mov x1, #0
        0x02, 0x00, 0x80, 0xd2,                     //  36 mov x2, #0
        0x03, 0x01, 0x80, 0xd2,                     //  40 mov x3, #8
        0x28, 0x11, 0x80, 0xd2,                     //  44 mov x8, #137
        0x01, 0x00, 0x00, 0xd4,                     //  48 svc #0
        0x1f, 0x44, 0x00, 0x71,                     //  52 cmp w0, #17          SIGCHLD
        0xa0, 0x00, 0x00, 0x54,                     //  56 b.eq reap
        0x00, 0xff, 0xff, 0x37,                     //  60 tbnz w0, #31, wait   (interrupted)
        // exit_group(0)
        0x00, 0x00, 0x80, 0xd2,                     //  64 mov x0, #0
        0xc8, 0x0b, 0x80, 0xd2,                     //  68 mov x8, #94
        0x01, 0x00, 0x00, 0xd4,                     //  72 svc #0
        // reap: wait4(-1, NULL, WNOHANG, NULL)
        0x00, 0x00, 0x80, 0x92,                     //  76 mov x0, #-1
        0x01, 0x00, 0x80, 0xd2,                     //  80 mov x1, #0
        0x22, 0x00, 0x80, 0xd2,                     //  84 mov x2, #1
        0x03, 0x00, 0x80, 0xd2,                     //  88 mov x3, #0
        0x88, 0x20, 0x80, 0xd2,                     //  92 mov x8, #260
        0x01, 0x00, 0x00, 0xd4,                     //  96 svc #0
        0x1f, 0x00, 0x00, 0xf1,                     // 100 cmp x0, #0
        0x2c, 0xff, 0xff, 0x54,                     // 104 b.gt reap
        0xec, 0xff, 0xff, 0x17,                     // 108 b wait
    ],
};

/// Where the file is loaded.
const BASE: u64 = 0x40_0000;
/// Sizes of ELF's file header and of one program header.
const FILE_HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;
/// The largest page size that either architecture uses.
const ALIGNMENT: u64 = 0x1_0000;

/// The root file system, as a tar, for the architecture that this program runs on.
pub fn rootfs() -> Result<Bytes> {
    let binary = executable(if cfg!(target_arch = "aarch64") { &AARCH64 } else { &X86_64 });
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(binary.len() as u64);
    let mut archive = tar::Builder::new(Vec::new());
    let packed = archive.append_data(&mut header, "pause", binary.as_slice()).and_then(|()| archive.into_inner());
    packed
        .map(Bytes::from)
        .map_err(|error| RuntimeError::Broken { operation: "pack the pause image", source: error.into() })
}

/// A static ELF executable with one segment that is read and executed.
fn executable(program: &Program) -> Vec<u8> {
    let start = FILE_HEADER + PROGRAM_HEADER;
    let size = start + program.code.len() as u64 + size_of_val(&SIGNALS) as u64;
    let mut file = file_header(program.machine, BASE + start);
    // PT_LOAD, readable (4) and executable (1).
    file.extend(1u32.to_le_bytes());
    file.extend(5u32.to_le_bytes());
    for field in [0, BASE, BASE, size, size, ALIGNMENT] {
        file.extend(field.to_le_bytes());
    }
    file.extend(program.code);
    file.extend(SIGNALS.to_le_bytes());
    file
}

fn file_header(machine: u16, entry: u64) -> Vec<u8> {
    // 64 bit, little endian, version 1; ET_EXEC.
    let mut header = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header.extend(2u16.to_le_bytes());
    header.extend(machine.to_le_bytes());
    header.extend(1u32.to_le_bytes());
    for field in [entry, FILE_HEADER, 0] {
        header.extend(field.to_le_bytes());
    }
    header.extend(0u32.to_le_bytes());
    // Header sizes, one program header, no sections.
    for field in [FILE_HEADER as u16, PROGRAM_HEADER as u16, 1, 0, 0, 0] {
        header.extend(field.to_le_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, ExitStatus};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn it_waits_until_it_is_told_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        std::fs::write(&path, executable(&X86_64)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = Command::new(&path).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        // The kernel shows the system call that a sleeping process is in: 128, rt_sigtimedwait.
        let waits = || std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap().starts_with("128 ");
        while !waits() {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            std::thread::yield_now();
        }
        kill(pid, Signal::SIGCHLD).unwrap();
        kill(pid, Signal::SIGTERM).unwrap();
        assert_eq!(child.wait().unwrap(), ExitStatus::default());
    }

    #[test]
    fn the_signal_set_is_where_the_programs_look() {
        // lea: 81 past offset 14 and 59 past offset 36; adr: 112 past its own offset, 0.
        assert_eq!(X86_64.code.len(), 14 + 81);
        assert_eq!(X86_64.code.len(), 36 + 59);
        assert_eq!(AARCH64.code.len(), 112);
    }
}
