//! What is the caller's again after a fault.

use std::ffi::c_void;
use std::mem::zeroed;
use std::ptr::{null, null_mut};

use crash_guard::{Guard, Mask, call, remember_mask};

use super::case::cases;
use super::guest::Guest;

cases! {
    WithGuest the_mask_is_the_remembered_one_whatever_the_guest_blocked;
    WithGuest the_mask_is_the_remembered_one_whatever_the_guest_unblocked;
    WithGuest the_mask_can_be_exactly_the_entrys;
    WithGuest the_mask_can_stay_as_the_guest_left_it;
    WithGuest a_host_that_changes_its_mask_says_so;
    WithGuest the_mask_before_the_first_guard_counts_not_that_at_installation;
    WithGuest faults_in_the_guests_signal_handlers_come_back;
    WithGuest floating_point_control_and_flags_are_restored;
    WithGuest an_exception_restores_floating_point_control;
    WithGuest alignment_checking_does_not_leak;
    WithGuest errno_is_restored;
    Plain registers_that_a_function_preserves_are_preserved;
    Plain whatever_registers_hold_at_a_fault_the_guards_around_it_stand;
    WithGuest guards_that_a_jump_cut_off_are_forgotten;
    WithGuest an_outer_guard_survives_a_jump_over_an_inner_one;
    WithGuest faults_in_coroutines_come_back;
}

fn is_blocked(signal: i32) -> bool {
    unsafe {
        let mut mask = zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, null(), &mut mask);
        libc::sigismember(&mask, signal) == 1
    }
}

fn change(how: i32, signal: i32) {
    unsafe {
        let mut mask = zeroed();
        libc::sigemptyset(&mut mask);
        libc::sigaddset(&mut mask, signal);
        libc::pthread_sigmask(how, &mask, null_mut());
    }
}

fn the_mask_is_the_remembered_one_whatever_the_guest_blocked(guest: &Guest) {
    for _ in 0..3 {
        guest.fault("block_and_fault");
        assert!(!is_blocked(libc::SIGUSR1));
        assert!(!is_blocked(libc::SIGSEGV));
    }
}

fn the_mask_is_the_remembered_one_whatever_the_guest_unblocked(guest: &Guest) {
    let path = guest.path.clone();
    let thread = std::thread::spawn(move || {
        change(libc::SIG_BLOCK, libc::SIGUSR2);
        Guest::open(&path).fault("unblock_and_fault");
        assert!(is_blocked(libc::SIGUSR2));
    });
    thread.join().unwrap();
}

fn the_mask_can_be_exactly_the_entrys(guest: &Guest) {
    let function = guest.function("block_and_fault");
    let guard = Guard::new().mask(Mask::Entry);
    unsafe { guard.call(|| ()) }.unwrap();
    for signal in [libc::SIGUSR2, libc::SIGALRM, libc::SIGTERM] {
        change(libc::SIG_BLOCK, signal);
        unsafe { guard.call(|| function()) }.unwrap_err();
        assert!(is_blocked(signal) && !is_blocked(libc::SIGUSR1));
        change(libc::SIG_UNBLOCK, signal);
        unsafe { guard.call(|| function()) }.unwrap_err();
        assert!(!is_blocked(signal) && !is_blocked(libc::SIGUSR1));
    }
    // A fault signal that the host has blocked ends unblocked, or the next fault would kill.
    change(libc::SIG_BLOCK, libc::SIGFPE);
    unsafe { guard.call(|| function()) }.unwrap_err();
    assert!(!is_blocked(libc::SIGFPE));
}

fn the_mask_can_stay_as_the_guest_left_it(guest: &Guest) {
    let function = guest.function("block_and_fault");
    unsafe { Guard::new().mask(Mask::AtFault).call(|| function()) }.unwrap_err();
    assert!(is_blocked(libc::SIGUSR1));
}

fn a_host_that_changes_its_mask_says_so(guest: &Guest) {
    guest.fault("write_to_null");
    change(libc::SIG_BLOCK, libc::SIGUSR2);
    remember_mask();
    guest.fault("write_to_null");
    assert!(is_blocked(libc::SIGUSR2));
}

fn the_mask_before_the_first_guard_counts_not_that_at_installation(guest: &Guest) {
    change(libc::SIG_BLOCK, libc::SIGUSR2);
    guest.fault("block_and_fault");
    assert!(is_blocked(libc::SIGUSR2) && !is_blocked(libc::SIGUSR1));
}

fn faults_in_the_guests_signal_handlers_come_back(guest: &Guest) {
    for _ in 0..10 {
        guest.fault("fault_in_signal_handler");
        assert!(!is_blocked(libc::SIGUSR2));
    }
}

#[cfg(target_arch = "x86_64")]
fn control() -> (u32, u16) {
    let (mut vector, mut x87) = (0u32, 0u16);
    unsafe {
        std::arch::asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &mut vector, in(reg) &mut x87);
    }
    (vector & !0x3f, x87)
}

#[cfg(target_arch = "aarch64")]
fn control() -> u64 {
    let control;
    unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) control) };
    control
}

fn floating_point_control_and_flags_are_restored(guest: &Guest) {
    let before = control();
    guest.fault("disturb_and_fault");
    #[cfg(target_arch = "x86_64")]
    unsafe {
        let flags: u64;
        std::arch::asm!("pushfq", "pop {}", out(reg) flags);
        assert_eq!(flags & (1 << 10), 0, "direction");
        let mut environment = [0u8; 28];
        std::arch::asm!("fnstenv [{0}]", "fldenv [{0}]", in(reg) &mut environment);
        assert_eq!(environment[8..10], [0xff, 0xff], "the x87 stack is empty");
    }
    assert_eq!(before, control());
}

fn an_exception_restores_floating_point_control(guest: &Guest) {
    let before = control();
    guest.fault("disturb_and_throw");
    assert_eq!(before, control());
}

fn alignment_checking_does_not_leak(guest: &Guest) {
    guest.fault("check_alignment_and_fault");
    #[cfg(target_arch = "x86_64")]
    unsafe {
        let flags: u64;
        std::arch::asm!("pushfq", "pop {}", out(reg) flags);
        assert_eq!(flags & (1 << 18 | 1 << 8), 0);
    }
}

fn errno_is_restored(guest: &Guest) {
    unsafe { *libc::__errno_location() = 77 };
    let _fault = guest.function("change_errno_and_fault");
    let result = unsafe { call(|| _fault()) };
    let errno = unsafe { *libc::__errno_location() };
    assert!(result.is_err());
    assert_eq!(errno, 77);
}

/// Leaves nothing of the caller's in a register but where the stack is, and faults.
#[cfg(target_arch = "x86_64")]
unsafe fn spoil() {
    unsafe {
        std::arch::asm!(
            "mov rax, 0x77",
            "mov rbx, rax",
            "mov rbp, rax",
            "mov r12, rax",
            "mov r13, rax",
            "mov r14, rax",
            "mov r15, rax",
            "mov rdx, rax",
            "ud2",
            options(noreturn),
        );
    }
}

#[cfg(target_arch = "aarch64")]
unsafe fn spoil() {
    unsafe {
        std::arch::asm!(
            "mov x0, #0x77",
            "mov x1, x0",
            "mov x19, x0",
            "mov x20, x0",
            "mov x21, x0",
            "mov x22, x0",
            "mov x23, x0",
            "mov x29, x0",
            "udf #0",
            options(noreturn),
        );
    }
}

fn whatever_registers_hold_at_a_fault_the_guards_around_it_stand() {
    for _ in 0..3 {
        let outer = unsafe {
            call(|| {
                for _ in 0..3 {
                    assert_eq!(call(|| spoil()).unwrap_err().depth, 2);
                    let third = call(|| call(|| spoil()).unwrap_err()).unwrap();
                    assert_eq!(third.depth, 3);
                }
                spoil();
            })
        };
        assert_eq!(outer.unwrap_err().depth, 1);
        assert_eq!(unsafe { call(|| 7) }.unwrap(), 7);
    }
}

fn registers_that_a_function_preserves_are_preserved() {
    #[inline(never)]
    unsafe extern "C-unwind" fn spoil(_: *mut c_void) {
        unsafe {
            #[cfg(target_arch = "x86_64")]
            std::arch::asm!(
                "mov r12, -1",
                "mov r13, -1",
                "mov r14, -1",
                "mov r15, -1",
                "mov rbx, -1",
                "mov rbp, -1",
                "mov byte ptr [8], 0",
                options(noreturn),
            );
            #[cfg(target_arch = "aarch64")]
            std::arch::asm!(
                "mov x19, #-1",
                "mov x20, #-1",
                "mov x21, #-1",
                "mov x22, #-1",
                "mov x23, #-1",
                "mov x24, #-1",
                "mov x25, #-1",
                "mov x26, #-1",
                "mov x27, #-1",
                "mov x28, #-1",
                "mov x29, #-1",
                "fmov d8, #1.0",
                "fmov d12, #1.0",
                "fmov d15, #1.0",
                "mov x0, #8",
                "str xzr, [x0]",
                options(noreturn),
            );
        }
    }
    let numbers: Vec<u64> = (0..24).map(std::hint::black_box).collect();
    let floats: Vec<f64> = (0..24).map(f64::from).map(std::hint::black_box).collect();
    for turn in 0..1000u64 {
        let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|n| numbers[n] + turn);
        let [g, h, i] = [6, 7, 8].map(|n| floats[n] + turn as f64);
        unsafe { crash_guard::call_fn(spoil, null_mut()) }.unwrap_err();
        assert_eq!(a + b + c + d + e + f, 15 + 6 * turn);
        assert_eq!(g + h + i, 21.0 + 3.0 * turn as f64);
    }
}

type Call = unsafe extern "C-unwind" fn(crash_guard::Entry, *mut c_void) -> i32;

unsafe extern "C-unwind" fn jump_out_of_guards(jump: *mut c_void) {
    let jump: unsafe extern "C-unwind" fn() = unsafe { std::mem::transmute(jump) };
    let _ = unsafe { call(|| call(|| jump())) };
}

fn guards_that_a_jump_cut_off_are_forgotten(guest: &Guest) {
    let over: Call = unsafe { std::mem::transmute(guest.symbol("set_jump_and_call")) };
    for _ in 0..100 {
        assert_eq!(unsafe { over(jump_out_of_guards, guest.symbol("jump_back")) }, 1);
        let fault = guest.fault("write_to_null");
        assert_eq!(fault.depth, 1);
    }
    // After a jump the next fault is again nobody's, though a stale landing remains.
    assert_eq!(unsafe { over(jump_out_of_guards, guest.symbol("jump_back")) }, 1);
    let status = unsafe {
        match libc::fork() {
            0 => {
                (8 as *mut u8).write_volatile(1);
                libc::_exit(0)
            }
            child => {
                let mut status = 0;
                libc::waitpid(child, &mut status, 0);
                status
            }
        }
    };
    assert_eq!(libc::WTERMSIG(status), libc::SIGSEGV);
}

fn an_outer_guard_survives_a_jump_over_an_inner_one(guest: &Guest) {
    #[inline(never)]
    fn overwrite_the_stack() -> u8 {
        let bytes = std::hint::black_box([0x5au8; 16 * 1024]);
        bytes[std::hint::black_box(5000)]
    }

    let over: Call = unsafe { std::mem::transmute(guest.symbol("set_jump_and_call")) };
    let jump = guest.symbol("jump_back");
    let null = guest.function("write_to_null");
    for _ in 0..100 {
        let fault = unsafe {
            call(|| {
                assert_eq!(over(jump_out_of_guards, jump), 1);
                assert_eq!(overwrite_the_stack(), 0x5a);
                null();
            })
        };
        let fault = fault.unwrap_err();
        assert_eq!((fault.address, fault.depth), (Some(8), 1));
        assert_eq!(guest.fault("write_to_null").depth, 1);
    }
}

fn faults_in_coroutines_come_back(guest: &Guest) {
    for _ in 0..100 {
        let fault = guest.fault("fault_in_coroutine");
        assert_eq!(fault.kind, crash_guard::FaultKind::Access);
    }
}
