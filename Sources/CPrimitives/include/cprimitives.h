// The few operations Swift has no direct form for: the CRC32C instruction,
// acquire/release access to words inside raw memory, and the names of threads.
#ifndef CAIRN_CPRIMITIVES_H
#define CAIRN_CPRIMITIVES_H

#include <stddef.h>
#include <stdint.h>

#include "cairn_memory.h"

/// CRC-32C (Castagnoli) of `length` bytes, continued from `crc` (0 to start).
uint32_t cairn_crc32c(uint32_t crc, const void *_Nullable bytes, size_t length);

/// The portable form of the same function; tests hold both equal.
uint32_t cairn_crc32c_portable(uint32_t crc, const void *_Nullable bytes, size_t length);

static inline uint64_t cairn_load_acquire(const uint64_t *_Nonnull word) {
  return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void cairn_store_release(uint64_t *_Nonnull word, uint64_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/// Lets SIGSEGV and SIGBUS, before they end the process, write `line` (which must stay) to standard error.
void cairn_name_faults(const char *_Nonnull line);

/// Names the calling thread (at most 15 bytes) for tools that list threads.
void cairn_name_thread(const char *_Nonnull name);

#endif
