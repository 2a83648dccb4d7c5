//! Every kind of fault, and what it says.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use crash_guard::{Access, Config, FaultKind, Guard, Held, Mask, call, call_fn, probe};

use super::case::cases;
use super::guest::{Guest, is_emulated};

cases! {
    Plain a_read_of_null_names_the_address;
    Plain a_write_to_read_only_memory_says_so;
    Plain reads_are_told_from_writes
        .not_under_qemu("qemu 7.2 gives no syndrome record");
    Plain executing_data_says_so;
    Plain a_call_to_nowhere_names_its_caller;
    Plain an_address_that_is_not_canonical_has_a_kind_of_its_own
        .impossible_if(cfg!(not(target_arch = "x86_64")), "x86_64 only");
    Plain memory_behind_the_end_of_a_file_is_a_bus_error;
    Plain an_unknown_instruction_is_illegal;
    Plain a_breakpoint_is_a_trap;
    Plain an_integer_division_by_zero_is_a_fault
        .impossible_if(cfg!(not(target_arch = "x86_64")), "AArch64 does not trap it");
    WithGuest an_unmasked_float_division_is_a_fault
        .impossible_if(cfg!(not(target_arch = "x86_64")), "AArch64 need not trap it");
    Plain a_refused_system_call_is_a_fault .not_under_qemu("qemu has no seccomp");
    WithGuest a_thousand_aborts_come_back;
    WithGuest a_failed_assertion_is_an_abort;
    WithGuest a_hundred_terminations_come_back;
    WithGuest heap_checks_come_back_and_the_heap_goes_on;
    Plain a_raised_signal_comes_back;
    Plain call_fn_hands_its_argument_on;
    Plain dispatch_hands_on_argument_number_and_result_whatever_the_guard;
    Plain a_fault_in_what_is_dispatched_comes_back_whatever_the_guard;
    Plain a_closures_value_comes_back;
    Plain guards_nest;
    Plain guards_nest_a_thousand_deep;
    WithGuest frame_pointers_lead_to_the_caller;
    WithGuest the_guests_code_is_found_below_abort;
    WithGuest the_guests_code_is_found_below_memcpy;
    Plain probes_find_what_is_there;
    Plain probes_work_without_installing
        .without_installing().not_under_qemu("qemu 7.2 has no process_vm_readv");
    Plain probes_survive_a_million_misses_in_threads;
    Plain a_fault_is_one_line;
    Plain before_installing_a_call_is_a_plain_call .without_installing();
}

#[inline(never)]
unsafe fn read(address: usize) {
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("mov {0}, [{0}]", inout(reg) address => _);
    }
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("ldr {0}, [{0}]", inout(reg) address => _);
    }
}

#[inline(never)]
unsafe fn write(address: usize) {
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("mov byte ptr [{0}], 1", in(reg) address);
    }
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("strb wzr, [{0}]", in(reg) address);
    }
}

fn pages(protection: i32) -> usize {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    unsafe { libc::mmap(null_mut(), 8192, protection, flags, -1, 0) as usize }
}

fn reads_are_told_from_writes() {
    let page = pages(libc::PROT_NONE);
    assert_eq!(unsafe { call(|| read(page)) }.unwrap_err().access, Access::Read);
    assert_eq!(unsafe { call(|| write(page)) }.unwrap_err().access, Access::Write);
    assert_eq!(unsafe { call(|| write(8)) }.unwrap_err().access, Access::Write);
}

fn a_read_of_null_names_the_address() {
    let fault = unsafe { call(|| read(0)) }.unwrap_err();
    assert_eq!((fault.kind, fault.address), (FaultKind::Access, Some(0)));
    assert_eq!((fault.signal, fault.code, fault.depth), (libc::SIGSEGV, 1, 1));
    assert_eq!(fault.thread, unsafe { libc::gettid() } as u32);
    assert!((read as *const () as usize..).contains(&fault.pc));
    assert!(fault.registers.named().any(|(_, value)| value == fault.sp as u64));
}

fn a_write_to_read_only_memory_says_so() {
    let page = pages(libc::PROT_READ);
    let fault = unsafe { call(|| write(page + 8)) }.unwrap_err();
    assert_eq!((fault.kind, fault.address, fault.code), (FaultKind::Access, Some(page + 8), 2));
}

fn executing_data_says_so() {
    let page = pages(libc::PROT_READ | libc::PROT_WRITE);
    let entry = unsafe { std::mem::transmute::<usize, crash_guard::Entry>(page) };
    let fault = unsafe { call_fn(entry, null_mut()) }.unwrap_err();
    assert_eq!((fault.kind, fault.address, fault.pc), (FaultKind::Access, Some(page), page));
    assert_eq!(fault.access, Access::Execute);
}

#[inline(never)]
unsafe extern "C-unwind" fn call_nowhere(_: *mut c_void) {
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("call {0}", in(reg) 0usize, clobber_abi("C"));
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("blr {0}", in(reg) 0usize, clobber_abi("C"));
    }
}

fn a_call_to_nowhere_names_its_caller() {
    let fault = unsafe { call_fn(call_nowhere, null_mut()) }.unwrap_err();
    assert_eq!((fault.pc, fault.access), (0, Access::Execute));
    let caller = call_nowhere as *const () as usize;
    let address = fault.return_addresses[0];
    assert!((caller..caller + 256).contains(&address), "{caller:#x} {address:#x}");
}

fn an_address_that_is_not_canonical_has_a_kind_of_its_own() {
    let fault = unsafe { call(|| read(0xdead_0000_0000_0000)) }.unwrap_err();
    assert_eq!((fault.kind, fault.address), (FaultKind::NonCanonical, None));
}

fn memory_behind_the_end_of_a_file_is_a_bus_error() {
    let fault = unsafe {
        let file = libc::memfd_create(c"short".as_ptr(), 0);
        assert_eq!(libc::ftruncate(file, 8192), 0);
        let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED);
        let mapping = libc::mmap(null_mut(), 8192, protection, flags, file, 0) as usize;
        assert_eq!(libc::ftruncate(file, 0), 0);
        let fault = call(|| read(mapping + 4096)).unwrap_err();
        assert_eq!(fault.address, Some(mapping + 4096));
        fault
    };
    assert_eq!((fault.kind, fault.signal), (FaultKind::Bus, libc::SIGBUS));
}

fn an_unknown_instruction_is_illegal() {
    let fault = unsafe {
        call(|| {
            #[cfg(target_arch = "x86_64")]
            std::arch::asm!("ud2");
            #[cfg(target_arch = "aarch64")]
            std::arch::asm!("udf #0");
        })
    };
    let fault = fault.unwrap_err();
    assert_eq!((fault.kind, fault.address), (FaultKind::Illegal, Some(fault.pc)));
}

fn a_breakpoint_is_a_trap() {
    let fault = unsafe {
        call(|| {
            #[cfg(target_arch = "x86_64")]
            std::arch::asm!("int3");
            #[cfg(target_arch = "aarch64")]
            std::arch::asm!("brk #1");
        })
    };
    assert_eq!(fault.unwrap_err().kind, FaultKind::Trap);
}

fn an_integer_division_by_zero_is_a_fault() {
    #[cfg(target_arch = "x86_64")]
    {
        let fault = unsafe {
            call(|| {
                std::arch::asm!(
                    "xor ecx, ecx", "mov eax, 1", "cdq", "idiv ecx",
                    out("eax") _, out("ecx") _, out("edx") _,
                );
            })
        };
        assert_eq!(fault.unwrap_err().kind, FaultKind::IntegerDivide);
    }
}

fn an_unmasked_float_division_is_a_fault(guest: &Guest) {
    let fault = guest.fault("divide_floats");
    assert_eq!((fault.kind, fault.signal), (FaultKind::FloatingPoint, libc::SIGFPE));
}

fn a_refused_system_call_is_a_fault() {
    // Trap getppid, allow the rest.
    let statement = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        statement(0x20, 0, 0, 0), // load the number
        statement(0x15, 0, 1, libc::SYS_getppid as u32),
        statement(0x06, 0, 0, libc::SECCOMP_RET_TRAP),
        statement(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
        for _ in 0..10 {
            let fault = call(|| libc::getppid()).unwrap_err();
            assert_eq!((fault.kind, fault.signal), (FaultKind::SystemCall, libc::SIGSYS));
        }
    }
}

fn a_thousand_aborts_come_back(guest: &Guest) {
    for _ in 0..1000 {
        let fault = guest.fault("call_abort");
        assert_eq!((fault.kind, fault.signal), (FaultKind::Abort, libc::SIGABRT));
    }
}

fn a_failed_assertion_is_an_abort(guest: &Guest) {
    assert_eq!(guest.fault("fail_assertion").kind, FaultKind::Abort);
}

fn a_hundred_terminations_come_back(guest: &Guest) {
    for _ in 0..100 {
        assert_eq!(guest.fault("terminate_by_noexcept").kind, FaultKind::Abort);
    }
}

fn heap_checks_come_back_and_the_heap_goes_on(guest: &Guest) {
    for _ in 0..20 {
        let fault = guest.fault("free_twice");
        assert_eq!((fault.kind, fault.taint.heap), (FaultKind::Abort, Held::Maybe));
    }
    let blocks: Vec<Vec<u8>> = (0..1000).map(|n| vec![1; n * 7]).collect();
    assert_eq!(blocks.iter().map(Vec::len).sum::<usize>(), 7 * 999 * 500);
}

fn a_raised_signal_comes_back() {
    let fault = unsafe { call(|| libc::raise(libc::SIGSEGV)) }.unwrap_err();
    assert_eq!((fault.kind, fault.address), (FaultKind::Raised, None));
}

fn call_fn_hands_its_argument_on() {
    unsafe extern "C-unwind" fn add(argument: *mut c_void) {
        unsafe { *argument.cast::<u32>() += 5 };
    }
    let mut number = 2u32;
    unsafe { call_fn(add, (&raw mut number).cast()) }.unwrap();
    assert_eq!(number, 7);
}

fn guards() -> [Guard; 5] {
    let far = std::time::Duration::from_secs(3600);
    [
        Guard::new(),
        Guard::new().mask(Mask::Entry),
        Guard::new().mask(Mask::AtFault),
        Guard::new().deadline(far),
        Guard::new().deadline(far).mask(Mask::Entry),
    ]
}

fn dispatch_hands_on_argument_number_and_result_whatever_the_guard() {
    unsafe extern "C-unwind" fn add(argument: *mut c_void, number: c_int) -> c_int {
        let total = argument.cast::<c_int>();
        unsafe { *total = (*total).wrapping_add(number) };
        unsafe { *total }
    }
    for guard in guards() {
        let mut total: c_int = 0;
        for number in [1, -3, c_int::MAX, c_int::MIN, -1] {
            let before = total;
            let argument = (&raw mut total).cast();
            let returned = unsafe { guard.dispatch(add, argument, number) }.unwrap();
            assert_eq!((returned, total), (before.wrapping_add(number), returned));
        }
    }
}

fn a_fault_in_what_is_dispatched_comes_back_whatever_the_guard() {
    unsafe extern "C-unwind" fn fault(argument: *mut c_void, number: c_int) -> c_int {
        unsafe { read(argument as usize + number as usize) };
        0
    }
    for guard in guards() {
        for number in 0..3 {
            let returned = unsafe { guard.dispatch(fault, 8 as *mut c_void, number) };
            let fault = returned.unwrap_err();
            assert_eq!((fault.address, fault.depth), (Some(8 + number as usize), 1));
        }
    }
}

fn a_closures_value_comes_back() {
    let text = unsafe { call(|| "owned".to_owned()) }.unwrap();
    assert_eq!(unsafe { Guard::new().call(|| text.len()) }.unwrap(), 5);
}

fn guards_nest() {
    let outer = unsafe {
        call(|| {
            let inner = call(|| read(8)).unwrap_err();
            assert_eq!((inner.address, inner.depth), (Some(8), 2));
            let third = call(|| call(|| read(16)).unwrap_err()).unwrap();
            assert_eq!((third.address, third.depth), (Some(16), 3));
            read(24);
        })
    };
    let outer = outer.unwrap_err();
    assert_eq!((outer.address, outer.depth), (Some(24), 1));
}

fn guards_nest_a_thousand_deep() {
    fn descend(depth: u32) -> u32 {
        if depth == 1000 {
            return unsafe { call(|| read(0)) }.unwrap_err().depth;
        }
        let below = unsafe { call(|| descend(depth + 1)) }.unwrap();
        let own = unsafe { call(|| read(0)) }.unwrap_err();
        assert_eq!(own.depth, depth + 1);
        below
    }
    // Unoptimised, every level takes some 10 KiB.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(|| descend(0));
    assert_eq!(thread.unwrap().join().unwrap(), 1001);
}

fn frame_pointers_lead_to_the_caller(guest: &Guest) {
    let back = unsafe {
        std::mem::transmute::<
            *mut c_void,
            unsafe extern "C-unwind" fn(crash_guard::Entry, *mut c_void),
        >(guest.symbol("call_back"))
    };
    unsafe extern "C-unwind" fn fault(_: *mut c_void) {
        unsafe { read(8) };
    }
    let code = guest.code();
    let fault = unsafe { Guard::new().within(code.clone()).call(|| back(fault, null_mut())) };
    let fault = fault.unwrap_err();
    // With -O2 the call to the callback is a jump, and nothing of the guest is on the stack.
    let jumped = guest.path.to_str().unwrap().contains("O2");
    assert!(jumped || fault.return_addresses.iter().any(|address| code.contains(address)));
}

/// A function's address and roughly its end.
fn is_in(guest: &Guest, name: &str, address: usize) -> bool {
    let start = guest.symbol(name) as usize;
    (start..=start + 160).contains(&address)
}

fn the_guests_code_is_found_below_abort(guest: &Guest) {
    let function = guest.function("fail_assertion");
    let guard = Guard::new().within(guest.code());
    let fault = unsafe { guard.call(|| function()) }.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Abort);
    let found = fault.return_addresses.iter().any(|a| is_in(guest, "fail_assertion", *a));
    assert!(found, "{fault:?}");
}

fn the_guests_code_is_found_below_memcpy(guest: &Guest) {
    let function = unsafe {
        std::mem::transmute::<*mut c_void, unsafe extern "C-unwind" fn(*mut c_void)>(
            guest.symbol("fault_in_memcpy"),
        )
    };
    let mut space = vec![0u8; 4000];
    let guard = Guard::new().within(guest.code());
    let fault = unsafe { guard.call_fn(function, space.as_mut_ptr().cast()) }.unwrap_err();
    // With -O2 memcpy is jumped to, or copied in line.
    let optimised = guest.path.to_str().unwrap().contains("O2");
    let found = fault.return_addresses.iter().any(|a| is_in(guest, "fault_in_memcpy", *a));
    assert!(optimised || found, "{fault:?}");
}

fn probes_find_what_is_there() {
    let mapping = pages(libc::PROT_READ | libc::PROT_WRITE);
    unsafe { libc::mprotect((mapping + 4096) as *mut c_void, 4096, libc::PROT_NONE) };
    unsafe { (mapping as *mut u8).add(4088).cast::<usize>().write(0x1234_5678) };
    assert_eq!(probe::read(mapping + 4088), Some(0x1234_5678));
    assert_eq!(probe::read(mapping + 4089), None);
    for address in [0, 8, 4096, usize::MAX - 7, mapping + 4096] {
        assert_eq!(probe::read(address), None, "{address:#x}");
    }
    assert!(probe::readable(mapping, 4096));
    assert!(!probe::readable(mapping, 4097));
    assert!(!probe::readable(mapping, usize::MAX));
    assert!(probe::readable(8, 0));

    let mut copied = [0xaa; 64];
    assert_eq!(probe::copy(mapping + 4096 - 16, &mut copied), 16);
    assert_eq!((copied[8], copied[16]), (0x78, 0xaa));
    assert_eq!(unsafe { probe::write(mapping + 4096 - 4, &[9; 32]) }, 4);
    assert_eq!(probe::copy(mapping + 4095, &mut copied[..1]), 1);
    assert_eq!(copied[0], 9);
    let read_only = pages(libc::PROT_READ);
    assert_eq!(unsafe { probe::write(read_only, &[1; 8]) }, 0);
}

fn probes_work_without_installing() {
    let number = 5usize;
    let address = &raw const number as usize;
    assert_eq!(probe::read(8), None);
    assert_eq!(probe::read(address), Some(5));
}

fn probes_survive_a_million_misses_in_threads() {
    let turns = if is_emulated() { 2_000 } else { 250_000 };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for turn in 0..turns {
                    let number = thread * turns + turn;
                    assert_eq!(probe::read(number % 4000), None);
                    assert_eq!(probe::read(&raw const number as usize), Some(number));
                }
            });
        }
    });
}

fn a_fault_is_one_line() {
    let fault = unsafe { call(|| read(8)) }.unwrap_err();
    let text = fault.to_string();
    assert!(text.starts_with("invalid memory access"), "{text}");
    assert!(text.contains("0x8") && text.contains("SIGSEGV") && !text.contains('\n'), "{text}");
    let debug = format!("{fault:?}");
    assert!(debug.contains("Registers") || debug.contains("rip") || debug.contains("x30"));
}

fn before_installing_a_call_is_a_plain_call() {
    assert_eq!(unsafe { call(|| 3) }.unwrap(), 3);
    let _installed = crash_guard::install(Config::new()).unwrap();
    assert!(unsafe { call(|| read(8)) }.is_err());
}
