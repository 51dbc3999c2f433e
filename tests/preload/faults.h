/* What the test and the preloaded library share: a small file that both have in memory or write to. */
#ifndef LANEWAY_FAULTS_H
#define LANEWAY_FAULTS_H

#include <stdatomic.h>
#include <stdint.h>

/* Layout known to tests/src/faults/preload.rs: numbers of 8 bytes, in this order. */
struct faults {
    _Atomic int64_t sync_fails_in;   /* the n-th fsync from now fails with EIO; 0: none does */
    _Atomic int64_t full;            /* not 0: writes fail with this errno */
    _Atomic int64_t clock_offset_ms; /* added to the wall clock */
    _Atomic int64_t syncs;           /* fsyncs that succeeded */
    _Atomic int64_t failed;          /* calls that were made to fail */
};

/* The shared file named by FAULTS_CONTROL, or NULL. */
extern struct faults *faults;

#endif
