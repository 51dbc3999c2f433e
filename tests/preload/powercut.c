/* What a power cut would undo, and disks that fail.
 *
 * Preloaded into a server. For files whose path begins with FAULTS_PREFIX, every change first
 * writes what it will overwrite to the undo log FAULTS_LOG; an fsync that has succeeded writes a
 * mark. After kill -9 the test undoes what no mark covers (tests/src/faults/power_cut.rs), so that
 * each file is as of its last completed fsync. Names (creating, renaming, removing a file) are
 * durable at once: that is not modelled, nor are changes through mmap or stdio. */
#define _GNU_SOURCE
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CHANGE = 1, TRUNCATE = 2, MARK = 3, FAILED_SYNC = 4, GONE = 5 };

/* Numbers of 8 bytes, and then `kept` bytes of what stood at `offset`. */
struct record {
    uint64_t magic, kind, inode;
    uint64_t offset;   /* CHANGE, TRUNCATE: where; MARK, FAILED_SYNC: the log's length when the fsync began; GONE: its length */
    uint64_t length;   /* CHANGE: bytes to be written */
    uint64_t old_size; /* of the file */
    uint64_t kept;
};
#define MAGIC 0x4c414e4557415931u

struct faults *faults;
static int undo_log = -1;
static const char *prefix;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void hold(void) { pthread_mutex_lock(&lock); }
static void let_go(void) { pthread_mutex_unlock(&lock); }

static void fail(const char *what) {
    dprintf(2, "powercut: %s: %s\n", what, strerror(errno));
    abort();
}

__attribute__((constructor)) static void start(void) {
    const char *control = getenv("FAULTS_CONTROL"), *log = getenv("FAULTS_LOG");
    prefix = getenv("FAULTS_PREFIX");
    if (control) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDWR | O_CLOEXEC);
        void *shared = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (shared == MAP_FAILED) fail(control);
        faults = shared;
        close(fd);
    }
    if (log && prefix) {
        undo_log = (int)syscall(SYS_openat, AT_FDCWD, log, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (undo_log < 0) fail(log);
    }
    /* A child must not inherit a lock that another thread holds. */
    pthread_atfork(hold, let_go, let_go);
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* -shm is shared memory, rebuilt at the next start; .lock says nothing that has to last. */
static int meant(const char *path) {
    return strncmp(path, prefix, strlen(prefix)) == 0 && !ends_with(path, "-shm") && !ends_with(path, ".lock");
}

/* Whether this is one of the files; then also its state. */
static int ours(int fd, struct stat *state) {
    char link[32], path[PATH_MAX];
    if (!prefix || fstat(fd, state) != 0 || !S_ISREG(state->st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return meant(path);
}

static uint64_t log_end(void) { return undo_log < 0 ? 0 : (uint64_t)lseek(undo_log, 0, SEEK_END); }

static void append(struct record *record, void *bytes) {
    struct iovec parts[2] = {{record, sizeof *record}, {bytes, record->kept}};
    record->magic = MAGIC;
    if (undo_log >= 0 && syscall(SYS_writev, undo_log, parts, 2) < 0) fail("writing the undo log");
}

static ssize_t read_back(int fd, void *bytes, size_t length, off_t at) {
    ssize_t got = pread(fd, bytes, length, at);
    if (got >= 0 || errno != EBADF) return got;
    /* Open for writing only. (Not for everything: closing another descriptor of a file ends the
     * process's POSIX locks on it, and SQLite needs its own.) */
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int from = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
    if (from < 0) return -1;
    got = pread(from, bytes, length, at);
    syscall(SYS_close, from);
    return got;
}

/* Writes down what is about to be changed. With the lock. */
static void keep(int fd, uint64_t kind, const struct stat *state, off_t offset, size_t length) {
    struct record record = {.kind = kind, .inode = state->st_ino, .offset = (uint64_t)offset, .length = length,
                            .old_size = (uint64_t)state->st_size};
    uint64_t old = record.old_size > record.offset ? record.old_size - record.offset : 0;
    if (undo_log < 0) return;
    record.kept = kind == CHANGE && old > length ? length : old;
    char *bytes = malloc(record.kept + 1);
    if (!bytes) fail("keeping what is overwritten");
    for (uint64_t done = 0; done < record.kept;) {
        ssize_t got = read_back(fd, bytes + done, record.kept - done, offset + (off_t)done);
        if (got <= 0) fail("reading what is overwritten");
        done += (uint64_t)got;
    }
    append(&record, bytes);
    free(bytes);
}

static int full(void) {
    int why = faults ? (int)atomic_load(&faults->full) : 0;
    if (why == 0) return 0;
    atomic_fetch_add(&faults->failed, 1);
    errno = why;
    return 1;
}

static ssize_t change(int fd, const struct iovec *parts, int count, off_t at, int positioned) {
    struct stat state;
    long call = positioned ? SYS_pwritev : SYS_writev;
    if (!ours(fd, &state)) return syscall(call, fd, parts, count, (long)at, 0L);
    if (full()) return -1;
    size_t length = 0;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    hold();
    fstat(fd, &state);
    if (fcntl(fd, F_GETFL) & O_APPEND) at = state.st_size;
    else if (!positioned) at = lseek(fd, 0, SEEK_CUR);
    keep(fd, CHANGE, &state, at, length);
    ssize_t written = syscall(call, fd, parts, count, (long)at, 0L);
    int why = errno;
    let_go();
    errno = why;
    return written;
}

static ssize_t change_one(int fd, const void *bytes, size_t length, off_t at, int positioned) {
    struct iovec part = {(void *)bytes, length};
    return change(fd, &part, 1, at, positioned);
}

ssize_t write(int fd, const void *bytes, size_t length) { return change_one(fd, bytes, length, 0, 0); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return change_one(fd, bytes, length, at, 1); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return change_one(fd, bytes, length, at, 1); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return change(fd, parts, count, 0, 0); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return change(fd, parts, count, at, 1); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return change(fd, parts, count, at, 1); }

int ftruncate(int fd, off_t size) {
    struct stat state;
    if (!ours(fd, &state)) return (int)syscall(SYS_ftruncate, fd, size);
    if (size > state.st_size && full()) return -1;
    hold();
    fstat(fd, &state);
    keep(fd, TRUNCATE, &state, size, 0);
    int result = (int)syscall(SYS_ftruncate, fd, size);
    let_go();
    return result;
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int sync_with(int fd, long call) {
    struct stat state;
    if (!ours(fd, &state)) return (int)syscall(call, fd);
    hold();
    struct record mark = {.kind = MARK, .inode = state.st_ino, .offset = log_end()};
    let_go();
    if (faults && atomic_load(&faults->sync_fails_in) > 0 && atomic_fetch_sub(&faults->sync_fails_in, 1) == 1) {
        mark.kind = FAILED_SYNC; /* no later fsync brings these changes back */
        append(&mark, NULL);
        atomic_fetch_add(&faults->failed, 1);
        errno = EIO;
        return -1;
    }
    int result = (int)syscall(call, fd);
    if (result == 0) {
        append(&mark, NULL);
        if (faults) atomic_fetch_add(&faults->syncs, 1);
    }
    return result;
}

int fsync(int fd) { return sync_with(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_with(fd, SYS_fdatasync); }

/* What was logged of a file that is going away must not be applied to one that gets its number. */
static void forget(const char *path) {
    struct stat state;
    char whole[PATH_MAX];
    if (undo_log < 0 || !realpath(path, whole) || !meant(whole) || stat(whole, &state) != 0) return;
    hold();
    struct record mark = {.kind = GONE, .inode = state.st_ino, .offset = log_end()};
    append(&mark, NULL);
    let_go();
}

int unlink(const char *path) {
    forget(path);
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int rename(const char *from, const char *to) {
    forget(to);
    return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    struct stat state;
    if (!(flags & O_TRUNC) || !prefix) return (int)syscall(SYS_openat, folder, path, flags, mode);
    int fd = (int)syscall(SYS_openat, folder, path, flags & ~O_TRUNC, mode);
    if (fd < 0) return fd;
    /* The truncation, as a change of its own. */
    if (fstat(fd, &state) == 0 && S_ISREG(state.st_mode) && state.st_size > 0 && ftruncate(fd, 0) != 0) {
        syscall(SYS_close, fd);
        return -1;
    }
    return fd;
}

#define MODE(flags, mode)                                                                                              \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_at(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_at(folder, path, flags | O_LARGEFILE, mode);
}
