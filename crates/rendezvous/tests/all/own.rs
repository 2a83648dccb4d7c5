#![allow(unsafe_code, reason = "asks the loader and the kernel beside the crate")]

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;

use rendezvous::{
    Consistency, Generation, MappingTable, Mappings, Memory, Process, Rendezvous, Role,
};

use crate::support::{Workshop, look, names};

/// Bias and name of each image, as the loader tells them to this process.
fn by_the_loader() -> Vec<(u64, Vec<u8>)> {
    unsafe extern "C" fn visit(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        found: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader's structure is valid during the call, and `found` is the vector below.
        unsafe {
            let name = CStr::from_ptr((*info).dlpi_name).to_bytes().to_vec();
            let found = &mut *found.cast::<Vec<(u64, Vec<u8>)>>();
            found.push(((*info).dlpi_addr, name));
        }
        0
    }
    let mut found: Vec<(u64, Vec<u8>)> = Vec::new();
    // SAFETY: `visit` gets the pointer to a local that outlives the walk.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast()) };
    found
}

#[test]
fn this_process_has_the_modules_that_its_loader_tells_of() {
    let process = Process::own().unwrap();
    let rendezvous = Rendezvous::current().unwrap();
    // Another test may load or unload meanwhile.
    loop {
        let before = Generation::current();
        let snapshot = rendezvous.snapshot(&process);
        let told = by_the_loader();
        if Generation::current() != before {
            continue;
        }
        assert_eq!(snapshot.consistency, Consistency::Consistent);
        assert_eq!(snapshot.problem, None);
        let found: Vec<(u64, Vec<u8>)> = snapshot.namespaces[0]
            .modules
            .iter()
            .map(|module| (module.bias, module.name.clone().unwrap()))
            .collect();
        assert_eq!(found, told);
        break;
    }
}

#[test]
fn this_program_its_loader_and_the_kernels_image_are_known() {
    let process = Process::own().unwrap();
    let (_, snapshot) = look(&process);
    let of_role = |role| snapshot.modules().filter(move |module| module.role == role);
    let program = of_role(Role::Program).next().unwrap();
    assert_eq!(program.path(), std::env::current_exe().unwrap().as_os_str().as_bytes());
    assert_eq!(of_role(Role::Program).count(), 1);
    // An emulator may map none.
    let has_kernels = process.startup().auxv.sysinfo_ehdr.is_some();
    assert_eq!(of_role(Role::Kernel).count(), usize::from(has_kernels));
    assert_eq!(of_role(Role::Loader).count(), 1);
    assert!(of_role(Role::Library).count() >= 1);
}

#[test]
fn the_generation_moves_with_each_load_and_with_nothing_else() {
    let workshop = Workshop::new();
    let Some(libraries) = workshop.libraries(&[], &["one.so"]) else { return };
    let path = CString::new(libraries[0].as_os_str().as_bytes()).unwrap();
    let before = Generation::current();
    assert!(before.loaded >= 3);
    // SAFETY: the library has no constructors.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null());
    let after = Generation::current();
    assert!(after.loaded > before.loaded);

    let (_, snapshot) = look(&Process::own().unwrap());
    assert!(names(snapshot.modules()).contains(&"one.so".to_owned()));
    // SAFETY: the handle is open, and nothing of the library is used.
    unsafe { libc::dlclose(handle) };
    assert!(Generation::current().unloaded > before.unloaded);
}

#[test]
fn the_kernel_answers_for_one_address_what_it_lists_for_all() {
    let process = Process::own().unwrap();
    let mappings = process.mappings().unwrap();
    let (_, snapshot) = look(&process);
    let table = MappingTable::parse_maps(&std::fs::read("/proc/self/maps").unwrap());
    for module in snapshot.modules() {
        let one = mappings.mapping_at(module.dynamic);
        assert!(one.is_some());
        assert_eq!(one, table.mapping_at(module.dynamic), "{module:?}");
    }
    assert_eq!(mappings.mapping_at(0), None);
}

#[test]
fn reading_stops_at_what_is_not_mapped() {
    let process = Process::own().unwrap();
    let page = 4096;
    // SAFETY: new memory is mapped, of which the second half is given back.
    let address = unsafe {
        let address = libc::mmap(
            std::ptr::null_mut(),
            2 * page,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(address, libc::MAP_FAILED);
        assert_eq!(libc::munmap(address.byte_add(page), page), 0);
        address as u64
    };
    let mut buffer = vec![1; page];
    assert_eq!(process.read_up_to(address + 16, &mut buffer), page - 16);
    assert!(buffer[..page - 16].iter().all(|&byte| byte == 0));
    let error = process.read_exact_at(address + 16, &mut buffer).unwrap_err();
    assert_eq!(error.reason, rendezvous::Unreadable::Unmapped);
    let (mut one, mut two) = ([1; 8], [1; 8]);
    let mut reads = [(address, &mut one[..]), (address + page as u64 - 4, &mut two)];
    let error = process.read_many(&mut reads).unwrap_err();
    assert_eq!(error.address, address + page as u64 - 4);
    assert_eq!(one, [0; 8]);
    assert!(process.read_exact_at(u64::MAX - 3, &mut one).is_err());
    // SAFETY: it was mapped above.
    unsafe { libc::munmap(address as *mut libc::c_void, page) };
}

#[test]
fn more_reads_than_the_kernel_takes_at_once_are_all_done() {
    let process = Process::own().unwrap();
    let numbers: Vec<u32> = (0..5000).collect();
    let mut buffers = vec![[0; 4]; numbers.len()];
    let mut reads: Vec<(u64, &mut [u8])> = numbers
        .iter()
        .zip(&mut buffers)
        .map(|(number, buffer)| (std::ptr::from_ref(number) as u64, &mut buffer[..]))
        .collect();
    process.read_many(&mut reads).unwrap();
    let read: Vec<u32> = buffers.into_iter().map(u32::from_ne_bytes).collect();
    assert_eq!(read, numbers);
}
