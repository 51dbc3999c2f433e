//! How the process has its memory from the system.

/// Takes memory in pages of 4 KiB, and not of 2 MiB ("transparent huge pages").
///
/// The allocator asks for huge pages where the system has them on request (`madvise`), and where its setting is
/// `always` they come unasked. What a process frees goes back to the system by the page: of a huge one, a single small
/// block that is still in use keeps all. So an idle Laneway took 40 MB and not 28, and after a burst each idle
/// connection 15 KB and not 10. Where the system has no such setting, nothing is to be done.
pub(crate) fn in_small_pages() {
    // Where that fails, more memory is taken and nothing else changes; and nothing can be logged yet.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn memory_comes_in_small_pages() {
        super::in_small_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }
}
