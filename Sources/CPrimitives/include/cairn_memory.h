// Files and memory for the store's engine: what LMDB's wrapper and the overlay need of the system, and
// acquire/release access to pointers inside raw memory.
#ifndef CAIRN_MEMORY_H
#define CAIRN_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void *_Nullable cairn_load_pointer(const void *_Nonnull slot) {
  return __atomic_load_n((void *const *)slot, __ATOMIC_ACQUIRE);
}

static inline void cairn_store_pointer(void *_Nonnull slot, const void *_Nullable value) {
  __atomic_store_n((const void **)slot, value, __ATOMIC_RELEASE);
}

static inline int cairn_compare(const void *_Nonnull a, const void *_Nonnull b, size_t length) {
  return memcmp(a, b, length);
}

/// Opens a file for reading and writing, optionally creating it (mode 0600). Descriptor, or -errno.
int cairn_file_open(const char *_Nonnull path, int create);

/// Device and inode of an open file. 0 or errno.
int cairn_file_identity(int descriptor, uint64_t *_Nonnull device, uint64_t *_Nonnull inode);

/// Length of an open file in bytes, or -errno.
int64_t cairn_file_length(int descriptor);

/// Allocates `length` bytes of a file from `offset`, extending it and keeping what it holds. 0 or errno;
/// EOPNOTSUPP where the file system cannot.
int cairn_file_allocate(int descriptor, int64_t offset, int64_t length);

/// Waits for the writeback of the file under way, and starts that of all its dirty pages. 0 or errno.
int cairn_file_start_writeback(int descriptor);
// Asks for all of a file to be brought into memory, in order, if it takes no more than half of it.
void cairn_file_will_need(int descriptor);

/// Bytes that the file's file system has left for unprivileged users, or -errno.
int64_t cairn_file_available(int descriptor);

void cairn_file_close(int descriptor);

/// Makes an unlinked file in the directory of `path` (its name is `path` and a suffix for an instant).
/// Descriptor, or -errno.
int cairn_file_unlinked(const char *_Nonnull path);

/// Maps `length` bytes of anonymous memory (descriptor -1) or of a file. Null on failure, with errno in
/// `error`.
void *_Nullable cairn_map(int descriptor, int64_t offset, size_t length, int *_Nonnull error);

/// Maps `length` bytes of a file for reading, as much as it may grow to: what lies behind its end must not be
/// touched. Null on failure, with errno in `error`.
const void *_Nullable cairn_map_file(int descriptor, size_t length, int *_Nonnull error);

void cairn_unmap(void *_Nonnull address, size_t length);

/// SipHash-2-4-128 with the key words k0 and k1 (little-endian) over `head` and then `bytes`: out[0] is the
/// first half of the digest read as a little-endian word, out[1] the second.
void cairn_siphash128(uint64_t k0, uint64_t k1, const uint64_t *_Nullable head, size_t head_words,
                      const void *_Nullable bytes, size_t length, uint64_t *_Nonnull out);

/// A number that differs between live threads.
uint64_t cairn_thread_id(void);

#endif
