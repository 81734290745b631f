// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein).
#include "cairn_memory.h"

#include <string.h>

#define ROTATE(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define ROUND            \
  do {                   \
    v0 += v1;            \
    v1 = ROTATE(v1, 13); \
    v1 ^= v0;            \
    v0 = ROTATE(v0, 32); \
    v2 += v3;            \
    v3 = ROTATE(v3, 16); \
    v3 ^= v2;            \
    v0 += v3;            \
    v3 = ROTATE(v3, 21); \
    v3 ^= v0;            \
    v2 += v1;            \
    v1 = ROTATE(v1, 17); \
    v1 ^= v2;            \
    v2 = ROTATE(v2, 32); \
  } while (0)

static inline uint64_t load(const uint8_t *p) {
  uint64_t word;
  memcpy(&word, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

void cairn_siphash128(uint64_t k0, uint64_t k1, const uint64_t *head, size_t head_words, const void *bytes,
                      size_t length, uint64_t *out) {
  const uint8_t *p = bytes;
  uint64_t v0 = 0x736f6d6570736575ull ^ k0, v1 = 0x646f72616e646f6dull ^ k1 ^ 0xee;
  uint64_t v2 = 0x6c7967656e657261ull ^ k0, v3 = 0x7465646279746573ull ^ k1;
  for (size_t i = 0; i < head_words; i++) {
    uint64_t word = load((const uint8_t *)(head + i));
    v3 ^= word;
    ROUND;
    ROUND;
    v0 ^= word;
  }
  size_t rest = length;
  for (; rest >= 8; rest -= 8, p += 8) {
    uint64_t word = load(p);
    v3 ^= word;
    ROUND;
    ROUND;
    v0 ^= word;
  }
  uint64_t last = (uint64_t)(length + head_words * 8) << 56;
  for (size_t i = 0; i < rest; i++) last |= (uint64_t)p[i] << (8 * i);
  v3 ^= last;
  ROUND;
  ROUND;
  v0 ^= last;
  v2 ^= 0xee;
  ROUND;
  ROUND;
  ROUND;
  ROUND;
  out[0] = v0 ^ v1 ^ v2 ^ v3;
  v1 ^= 0xdd;
  ROUND;
  ROUND;
  ROUND;
  ROUND;
  out[1] = v0 ^ v1 ^ v2 ^ v3;
}
