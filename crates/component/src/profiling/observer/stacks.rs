//! Stacks, and how often each was seen.

use std::{collections::HashMap, time::Duration};

use framehop::{CacheNative, MayAllocateDuringUnwind, UnwindRegsNative, Unwinder, UnwinderNative};
use nix::libc::user_regs_struct;

use super::{objects::Objects, threads::Caught};

/// The deepest stack that is told; of a deeper one the innermost functions.
const DEEPEST: usize = 128;
/// So many stacks are told apart. Of further ones only the innermost function is told.
const MOST_STACKS: usize = 16_384;

/// The functions of a stack: an address in each, from the innermost outwards.
pub(super) type Stack = Vec<u64>;

/// How often a stack was seen.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) times: u64,
    /// How much processor time that stands for.
    pub(super) time: Duration,
}

/// What has been seen so far.
pub(super) struct Stacks {
    unwinder: UnwinderNative<Vec<u8>, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
    seen: HashMap<Stack, Seen>,
}

impl Stacks {
    /// Nothing yet, of a process of these objects.
    pub(super) fn new(objects: &Objects) -> Self {
        let mut unwinder = UnwinderNative::new();
        objects.iter().for_each(|object| unwinder.add_module(object.module.clone()));
        Self { unwinder, cache: CacheNative::new(), seen: HashMap::new() }
    }

    /// Counts where a thread was when it had used so much time.
    pub(super) fn count(&mut self, caught: &Caught, time: Duration) {
        let mut stack = self.unwind(caught);
        if self.seen.len() >= MOST_STACKS && !self.seen.contains_key(&stack) {
            stack.truncate(1);
        }
        let seen = self.seen.entry(stack).or_default();
        seen.times += 1;
        seen.time += time;
    }

    /// All that was seen.
    pub(super) fn counted(self) -> HashMap<Stack, Seen> {
        self.seen
    }

    fn unwind(&mut self, caught: &Caught) -> Stack {
        let (pc, registers) = for_unwinder(&caught.registers);
        let mut word = |address| caught.word(address).ok_or(());
        let mut frames = self.unwinder.iter_frames(pc, registers, &mut self.cache, &mut word);
        let mut stack = Stack::new();
        while stack.len() < DEEPEST
            && let Ok(Some(frame)) = frames.next()
        {
            stack.push(frame.address_for_lookup());
        }
        stack
    }
}

/// Where the stack ends.
#[cfg(target_arch = "x86_64")]
pub(super) fn stack_pointer(registers: &user_regs_struct) -> u64 {
    registers.rsp
}

#[cfg(target_arch = "x86_64")]
fn for_unwinder(registers: &user_regs_struct) -> (u64, UnwindRegsNative) {
    (registers.rip, UnwindRegsNative::new(registers.rip, registers.rsp, registers.rbp))
}

/// Where the stack ends.
#[cfg(target_arch = "aarch64")]
pub(super) fn stack_pointer(registers: &user_regs_struct) -> u64 {
    registers.sp
}

#[cfg(target_arch = "aarch64")]
fn for_unwinder(registers: &user_regs_struct) -> (u64, UnwindRegsNative) {
    (registers.pc, UnwindRegsNative::new(registers.regs[30], registers.sp, registers.regs[29]))
}
