#define _GNU_SOURCE
#include "cairn_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int cairn_file_open(const char *path, int create) {
  int descriptor;
  do {
    descriptor = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor < 0 ? -errno : descriptor;
}

int cairn_file_identity(int descriptor, uint64_t *device, uint64_t *inode) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) return errno;
  *device = status.st_dev;
  *inode = status.st_ino;
  return 0;
}

int64_t cairn_file_length(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) return -errno;
  return status.st_size;
}

int cairn_file_allocate(int descriptor, int64_t offset, int64_t length) {
  int result;
  do {
    result = fallocate(descriptor, 0, offset, length);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

int cairn_file_start_writeback(int descriptor) {
  if (sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE) == 0) return 0;
  // A file system without it syncs all at the end.
  return errno == ENOSYS || errno == EINVAL || errno == ESPIPE ? 0 : errno;
}

void cairn_file_will_need(int descriptor) {
  int64_t length = cairn_file_length(descriptor);
  int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
  // A refusal costs nothing but time: pages then come as they are asked for.
  if (length > 0 && length <= memory / 2) (void)posix_fadvise(descriptor, 0, 0, POSIX_FADV_WILLNEED);
}

int64_t cairn_file_available(int descriptor) {
  struct statvfs status;
  if (fstatvfs(descriptor, &status) != 0) return -errno;
  return (int64_t)status.f_bavail * (int64_t)status.f_frsize;
}

void cairn_file_close(int descriptor) { close(descriptor); }

int cairn_file_unlinked(const char *path) {
  char name[4096];
  int length = snprintf(name, sizeof name, "%s-spill-XXXXXX", path);
  if (length < 0 || (size_t)length >= sizeof name) return -ENAMETOOLONG;
  int descriptor = mkostemp(name, O_CLOEXEC);
  if (descriptor < 0) return -errno;
  if (unlink(name) != 0) {
    int error = errno;
    close(descriptor);
    return -error;
  }
  return descriptor;
}

void *cairn_map(int descriptor, int64_t offset, size_t length, int *error) {
  int flags = descriptor < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void *address = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, descriptor, offset);
  if (address == MAP_FAILED) {
    *error = errno;
    return NULL;
  }
  return address;
}

const void *cairn_map_file(int descriptor, size_t length, int *error) {
  void *address = mmap(NULL, length, PROT_READ, MAP_SHARED, descriptor, 0);
  if (address == MAP_FAILED) {
    *error = errno;
    return NULL;
  }
  return address;
}

void cairn_unmap(void *address, size_t length) { munmap(address, length); }

uint64_t cairn_thread_id(void) { return (uint64_t)pthread_self(); }
