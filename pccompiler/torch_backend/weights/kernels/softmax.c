// Softmax of rows, lifted by a floor, and its gradient: for short rows, 16 rows at a time; for long
// ones, 16 columns at a time.
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define MOST LANES  // columns of short rows; long ones have at least as many
#define INLINE static inline __attribute__((always_inline))

typedef float Vec __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));

INLINE Vec all(float x) { return x - (Vec){0.f}; }

INLINE Vec larger(Vec a, Vec b) {
  const Ints first = a > b;
  return (Vec)((first & (Ints)a) | (~first & (Ints)b));
}

// exp(x) for x <= 0, down to the smallest positive number, and 0 for minus infinity: 2^n e^f with
// |f| <= ln 2 / 2, and seven terms of the series for e^f. 2^n in two steps, so that it may be tiny.
INLINE Vec power(Vec x) {
  const float whole = 12582912.f;  // 1.5 2^23: adding it rounds to an integer
  const Ints gone = x < -104.f;
  const Vec known = (Vec)((~gone & (Ints)x) | (gone & (Ints)all(-104.f)));
  const Vec n = (known * 1.44269504f + whole) - whole;
  const Vec f = (known - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec y = f * (1.f / 5040.f) + 1.f / 720.f;
  y = y * f + 1.f / 120.f;
  y = y * f + 1.f / 24.f;
  y = y * f + 1.f / 6.f;
  y = y * f + 0.5f;
  y = y * f + 1.f;
  y = y * f + 1.f;
  const Ints twos = __builtin_convertvector(n, Ints), half = twos >> 1;
  y = y * (Vec)((half + 127) << 23) * (Vec)((twos - half + 127) << 23);
  return (Vec)(~gone & (Ints)y);
}

INLINE float total(Vec x) {
  float sum = 0.f;
  for (int i = 0; i < LANES; ++i) sum += x[i];
  return sum;
}

INLINE void read(const float *from, int64_t first, int64_t rows, int columns, Vec *to) {
  const float *row = from + first * columns;
  float (*out)[LANES] = (float(*)[LANES])to;
  if (first + LANES <= rows) {
    for (int r = 0; r < LANES; ++r)
      for (int c = 0; c < columns; ++c) out[c][r] = row[r * columns + c];
    return;
  }
  for (int r = 0; r < LANES; ++r)
    for (int c = 0; c < columns; ++c)
      out[c][r] = from[(first + r < rows ? first + r : rows - 1) * columns + c];
}

INLINE void write(const Vec *from, int64_t first, int64_t rows, int columns, float *to) {
  const float (*x)[LANES] = (const float(*)[LANES])from;
  const int number = first + LANES <= rows ? LANES : (int)(rows - first);
  for (int r = 0; r < number; ++r)
    for (int c = 0; c < columns; ++c) to[(first + r) * columns + c] = x[c][r];
}

INLINE void lifted(const float *x, int64_t begin, int64_t end, int columns, float lift, float *out) {
  const float rest = 1.f / (1.f + columns * lift);
  for (int64_t first = begin; first < end; first += LANES) {
    Vec z[MOST], sum = all(0.f);
    read(x, first, end, columns, z);
    Vec top = z[0];
    for (int c = 1; c < columns; ++c) top = larger(z[c], top);
    for (int c = 0; c < columns; ++c) {
      z[c] = power(z[c] - top);
      sum += z[c];
    }
    sum = 1.f / sum;
    for (int c = 0; c < columns; ++c) z[c] = (z[c] * sum + lift) * rest;
    write(z, first, end, columns, out);
  }
}

INLINE void gradient(const float *w, const float *grad, int64_t begin, int64_t end, int columns,
                     float lift, float *out) {
  const float whole = 1.f + columns * lift, rest = 1.f / whole;
  for (int64_t first = begin; first < end; first += LANES) {
    Vec s[MOST], g[MOST], mean = all(0.f), sum = mean;
    read(w, first, end, columns, s);
    read(grad, first, end, columns, g);
    for (int c = 0; c < columns; ++c) {
      s[c] = s[c] * whole - lift;
      mean += s[c] * g[c];
      sum += s[c];
    }
    mean /= sum;  // so that equal gradients give none
    for (int c = 0; c < columns; ++c) g[c] = rest * s[c] * (g[c] - mean);
    write(g, first, end, columns, out);
  }
}

// Specialized for the usual numbers of columns. Each thread gets one piece of the rows.
#define EACH(CALL) \
  for (int piece = 0; piece < threads; ++piece) { \
    const int64_t begin = rows * piece / threads, end = rows * (piece + 1) / threads; \
    switch (columns) { \
      case 2: CALL(2); break; \
      case 3: CALL(3); break; \
      case 4: CALL(4); break; \
      case 5: CALL(5); break; \
      case 8: CALL(8); break; \
      default: CALL(columns); \
    } \
  }

// out = (softmax(x) + lift) / (1 + columns lift), row by row.
void short_up(const float *x, int64_t rows, int columns, float lift, int threads, float *out) {
#define CALL(n) lifted(x, begin, end, n, lift, out)
#pragma omp parallel for num_threads(threads) if (threads > 1)
  EACH(CALL)
#undef CALL
}

// Gradients of x from the weights w of short_up and their gradients.
void short_down(const float *w, const float *grad, int64_t rows, int columns, float lift,
                int threads, float *out) {
#define CALL(n) gradient(w, grad, begin, end, n, lift, out)
#pragma omp parallel for num_threads(threads) if (threads > 1)
  EACH(CALL)
#undef CALL
}

INLINE Vec load(const float *from) {
  Vec x;
  memcpy(&x, from, sizeof(Vec));
  return x;
}

INLINE void store(float *to, Vec x) { memcpy(to, &x, sizeof(Vec)); }

// A long row's last sixteen columns overlap those before: the first of them that are new.
INLINE Vec fresh(Vec x, int columns) {
  const Ints lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return (Vec)((lane >= LANES - columns % LANES) & (Ints)x);
}

INLINE void long_lifted(const float *x, int columns, float lift, float *out) {
  const float rest = 1.f / (1.f + columns * lift);
  const int whole = columns / LANES * LANES, last = columns - LANES;
  Vec top = load(x + last), sum = all(0.f);
  for (int c = 0; c < whole; c += LANES) top = larger(load(x + c), top);
  float most = top[0];
  for (int i = 1; i < LANES; ++i) most = top[i] > most ? top[i] : most;
  double before = 0.;  // there are enough sums that a float would drift
  for (int c = 0; c < whole; c += LANES) {
    const Vec e = power(load(x + c) - most);
    store(out + c, e);
    sum += e;
    if (c % (16 * LANES) == 15 * LANES) {
      before += total(sum);
      sum = all(0.f);
    }
  }
  const Vec end = power(load(x + last) - most);
  const float scale = rest / (float)(before + total(sum + fresh(end, columns))), least = lift * rest;
  for (int c = 0; c < whole; c += LANES) store(out + c, load(out + c) * scale + least);
  store(out + last, end * scale + least);
}

INLINE void long_gradient(const float *w, const float *grad, int columns, float lift, float *out) {
  const float whole = 1.f + columns * lift, rest = 1.f / whole;
  const int last = columns - LANES;
  const Vec end = load(w + last) * whole - lift, fall = load(grad + last);
  Vec mean = fresh(end * fall, columns), sum = fresh(end, columns);
  for (int c = 0; c <= last; c += LANES) {
    const Vec s = load(w + c) * whole - lift;
    mean += s * load(grad + c);
    sum += s;
  }
  const float middle = total(mean) / total(sum);
  for (int c = 0; c <= last; c += LANES)
    store(out + c, rest * (load(w + c) * whole - lift) * (load(grad + c) - middle));
  store(out + last, rest * end * (fall - middle));
}

// Matrix m of long rows is read from place order[m], or m if there is no order.
INLINE int64_t place(const int64_t *order, int64_t m) { return order ? order[m] : m; }

// As short_up, for a number of matrices with the same number of rows each.
void long_up(const float *x, const int64_t *order, int64_t matrices, int64_t rows, int columns,
             float lift, int threads, float *out) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t m = 0; m < matrices; ++m)
    for (int64_t r = 0; r < rows; ++r)
      long_lifted(x + (place(order, m) * rows + r) * columns, columns, lift,
                  out + (m * rows + r) * columns);
}

// As short_down; gradients go to where the matrices were read.
void long_down(const float *w, const float *grad, const int64_t *order, int64_t matrices,
               int64_t rows, int columns, float lift, int threads, float *out) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t m = 0; m < matrices; ++m)
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t row = (m * rows + r) * columns;
      long_gradient(w + row, grad + row, columns, lift, out + (place(order, m) * rows + r) * columns);
    }
}
