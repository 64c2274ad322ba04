// Softmax of short rows, lifted by a floor, and its gradient: 16 rows at a time, side by side.
#include <math.h>
#include <stdint.h>
#include <string.h>

#define ROWS 16
#define MOST 64  // columns

// exp(x) of x <= 0, down to the smallest number above 0, and 0 of minus infinity: 2^n e^f with
// |f| <= ln 2 / 2, and seven terms of the series for e^f. 2^n in two steps, so that it may be tiny.
static void power(float x[ROWS]) {
  int32_t high[ROWS], low[ROWS];
  float e[ROWS], first[ROWS], second[ROWS];
  for (int r = 0; r < ROWS; ++r) {
    const float known = x[r] < -104.f ? -104.f : x[r];
    const float n = rintf(known * 1.44269504f);
    const float f = (known - n * 0.693359375f) + n * 2.12194440e-4f;
    float y = 1.f / 5040.f;
    y = y * f + 1.f / 720.f;
    y = y * f + 1.f / 120.f;
    y = y * f + 1.f / 24.f;
    y = y * f + 1.f / 6.f;
    y = y * f + 0.5f;
    y = y * f + 1.f;
    e[r] = y * f + 1.f;
    const int32_t whole = (int32_t)n;
    high[r] = ((whole >> 1) + 127) << 23;
    low[r] = (whole - (whole >> 1) + 127) << 23;
  }
  memcpy(first, high, sizeof(first));
  memcpy(second, low, sizeof(second));
  for (int r = 0; r < ROWS; ++r) x[r] = x[r] < -104.f ? 0.f : e[r] * first[r] * second[r];
}

#define INLINE static inline __attribute__((always_inline))

INLINE void read(const float *from, int64_t first, int64_t rows, int columns, float to[MOST][ROWS]) {
  const float *row = from + first * columns;
  if (first + ROWS <= rows) {
    for (int r = 0; r < ROWS; ++r)
      for (int c = 0; c < columns; ++c) to[c][r] = row[r * columns + c];
    return;
  }
  for (int r = 0; r < ROWS; ++r)
    for (int c = 0; c < columns; ++c)
      to[c][r] = from[(first + r < rows ? first + r : rows - 1) * columns + c];
}

INLINE void write(float from[MOST][ROWS], int64_t first, int64_t rows, int columns, float *to) {
  const int number = first + ROWS <= rows ? ROWS : (int)(rows - first);
  for (int r = 0; r < number; ++r)
    for (int c = 0; c < columns; ++c) to[(first + r) * columns + c] = from[c][r];
}

INLINE void lifted(const float *x, int64_t begin, int64_t end, int columns, float lift, float *out) {
  const float rest = 1.f / (1.f + columns * lift);
  for (int64_t first = begin; first < end; first += ROWS) {
    float z[MOST][ROWS], top[ROWS], sum[ROWS];
    read(x, first, end, columns, z);
    memcpy(top, z[0], sizeof(top));
    for (int c = 1; c < columns; ++c)
      for (int r = 0; r < ROWS; ++r) top[r] = z[c][r] > top[r] ? z[c][r] : top[r];
    memset(sum, 0, sizeof(sum));
    for (int c = 0; c < columns; ++c) {
      for (int r = 0; r < ROWS; ++r) z[c][r] -= top[r];
      power(z[c]);
      for (int r = 0; r < ROWS; ++r) sum[r] += z[c][r];
    }
    for (int r = 0; r < ROWS; ++r) sum[r] = 1.f / sum[r];
    for (int c = 0; c < columns; ++c)
      for (int r = 0; r < ROWS; ++r) z[c][r] = (z[c][r] * sum[r] + lift) * rest;
    write(z, first, end, columns, out);
  }
}

INLINE void gradient(const float *w, const float *grad, int64_t begin, int64_t end, int columns,
                  float lift, float *out) {
  const float whole = 1.f + columns * lift, rest = 1.f / whole;
  for (int64_t first = begin; first < end; first += ROWS) {
    float s[MOST][ROWS], g[MOST][ROWS], mean[ROWS], sum[ROWS];
    read(w, first, end, columns, s);
    read(grad, first, end, columns, g);
    memset(mean, 0, sizeof(mean));
    memset(sum, 0, sizeof(sum));
    for (int c = 0; c < columns; ++c)
      for (int r = 0; r < ROWS; ++r) {
        s[c][r] = s[c][r] * whole - lift;
        mean[r] += s[c][r] * g[c][r];
        sum[r] += s[c][r];
      }
    for (int r = 0; r < ROWS; ++r) mean[r] /= sum[r];  // so that equal gradients give none
    for (int c = 0; c < columns; ++c)
      for (int r = 0; r < ROWS; ++r) g[c][r] = rest * s[c][r] * (g[c][r] - mean[r]);
    write(g, first, end, columns, out);
  }
}

// The usual numbers of columns are known to the compiler.
#define EACH(CALL) \
  switch (columns) { \
    case 2: CALL(2); break; \
    case 3: CALL(3); break; \
    case 4: CALL(4); break; \
    case 5: CALL(5); break; \
    case 8: CALL(8); break; \
    default: CALL(columns); \
  }

// out = (softmax(x) + lift) / (1 + columns lift), for rows begin, begin + 1, ..., end - 1.
void softmax_up(const float *x, int64_t begin, int64_t end, int columns, float lift, float *out) {
#define CALL(n) lifted(x, begin, end, n, lift, out)
  EACH(CALL)
#undef CALL
}

// Gradients of x from the weights w of softmax_up and their gradients.
void softmax_down(const float *w, const float *grad, int64_t begin, int64_t end, int columns,
                  float lift, float *out) {
#define CALL(n) gradient(w, grad, begin, end, n, lift, out)
  EACH(CALL)
#undef CALL
}
