// Softmax of short rows, lifted by a floor, and its gradient: 16 rows at a time, side by side.
#include <math.h>
#include <stdint.h>
#include <string.h>

#define ROWS 16
#define MOST 64  // columns

static inline float power_of_two(int32_t n) {  // -126 <= n <= 0
  const int32_t bits = (n + 127) << 23;
  float out;
  memcpy(&out, &bits, 4);
  return out;
}

// exp(x) for x <= 0, down to the smallest number above 0, and 0 of minus infinity: 2^n e^f with
// |f| <= ln 2 / 2, and seven terms of the series for e^f.
static inline float power(float x) {
  const float known = x < -104.f ? -104.f : x;
  const float n = rintf(known * 1.44269504f);
  const float f = (known - n * 0.693359375f) + n * 2.12194440e-4f;
  float e = 1.f / 5040.f;
  e = e * f + 1.f / 720.f;
  e = e * f + 1.f / 120.f;
  e = e * f + 1.f / 24.f;
  e = e * f + 1.f / 6.f;
  e = e * f + 0.5f;
  e = e * f + 1.f;
  e = e * f + 1.f;
  const int32_t whole = (int32_t)n, half = whole / 2;
  e = e * power_of_two(half) * power_of_two(whole - half);
  return x < -104.f ? 0.f : e;
}

static void read(const float *from, int64_t first, int64_t rows, int columns, float to[MOST][ROWS]) {
  for (int r = 0; r < ROWS; ++r) {
    const float *row = from + (first + r < rows ? first + r : rows - 1) * columns;
    for (int c = 0; c < columns; ++c) to[c][r] = row[c];
  }
}

static void write(float from[MOST][ROWS], int64_t first, int64_t rows, int columns, float *to) {
  for (int r = 0; r < ROWS && first + r < rows; ++r)
    for (int c = 0; c < columns; ++c) to[(first + r) * columns + c] = from[c][r];
}

// out = (softmax(x) + lift) / (1 + columns lift), for rows begin, begin + 1, ..., end - 1.
void softmax_up(const float *x, int64_t begin, int64_t end, int columns, float lift, float *out) {
  const float rest = 1.f / (1.f + columns * lift);
  for (int64_t first = begin; first < end; first += ROWS) {
    float z[MOST][ROWS], top[ROWS], sum[ROWS];
    read(x, first, end, columns, z);
    memcpy(top, z[0], sizeof(top));
    for (int c = 1; c < columns; ++c)
      for (int r = 0; r < ROWS; ++r) top[r] = z[c][r] > top[r] ? z[c][r] : top[r];
    memset(sum, 0, sizeof(sum));
    for (int c = 0; c < columns; ++c)
      for (int r = 0; r < ROWS; ++r) sum[r] += z[c][r] = power(z[c][r] - top[r]);
    for (int r = 0; r < ROWS; ++r) sum[r] = 1.f / sum[r];
    for (int c = 0; c < columns; ++c)
      for (int r = 0; r < ROWS; ++r) z[c][r] = (z[c][r] * sum[r] + lift) * rest;
    write(z, first, end, columns, out);
  }
}

// Gradients of x from the weights w of softmax_up and their gradients.
void softmax_down(const float *w, const float *grad, int64_t begin, int64_t end, int columns,
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
