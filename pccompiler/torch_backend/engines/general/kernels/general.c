// Any circuit on a CPU: a list of instructions, run for one block of rows at a time.
//
// A value is m 2^e: m in [1, 2) or 0, and e a whole number, or -inf if the value is 0. Both are
// stored for each unit and row, so that nothing underflows, and no exp or log is needed.
// Queries take the same way up, with maxima in place of sums if the best induced tree is asked for.
// Down they take the flows of leaves, or choose one operand of each sum that is reached.
// Compiled with WIDE (double rather than float), B (rows of a block: 1, or a multiple of 64 bytes),
// GRAD (the type in which gradients are added up) and the macros OP_...
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#define THREAD omp_get_thread_num()
#else
#define THREAD 0
#endif

#if WIDE
typedef double REAL;
typedef int64_t BITS;
#define BIAS 1023
#define SHIFT 52
#define LEAST (-960.f)
#define MOST 990
#define LOWEST 2.2250738585072014e-308
#define UPWARDS 18446744073709551616.
#define HUGEST 1e300
#else
typedef float REAL;
typedef int32_t BITS;
#define BIAS 127
#define SHIFT 23
#define LEAST (-80.f)
#define MOST 100
#define LOWEST 1.17549435e-38f
#define UPWARDS 18446744073709551616.f
#define HUGEST 1e38f
#endif
#if B == 1
#define VL 1
#else
#define VL (64 / (int)sizeof(REAL))
#endif
#define NV (B / VL)
#define FEW 64
#ifdef __AVX512F__
#define UB 8
#else
#define UB 2
#endif
typedef REAL vec __attribute__((vector_size(VL * sizeof(REAL))));
typedef BITS bits __attribute__((vector_size(VL * sizeof(REAL))));
typedef struct { vec v[NV]; } Block;  // one number for each row of the block

typedef struct {
  int32_t op, units, out, first, count, table, place, variable;
} Code;

typedef struct {
  const Code *code;
  const int32_t *items;
  const REAL *const *tables;  // weights by group, [place][units][columns]; then log-densities
  const int64_t *offsets;     // where the gradients of each table start
  const int32_t *columns;     // columns of each table
  const REAL *x;              // [batch][variables], NaN where missing
  const int32_t *owner;       // [slot] its instruction
  int64_t instructions, slots, variables, batch, counts, best;
} Circuit;

typedef struct {
  const REAL *flows;          // [rows] the root's; null if terms are chosen
  GRAD *grads;                // [part][size] of tables, unless it is null
  REAL *const *given;         // flows of leaves without tables, with gradients
  REAL *leaves;               // [leaf unit][rows] flows, unless it is null
  int32_t *chosen;            // [variable][rows] the leaf unit that is reached
  int64_t size, rows;         // rows: those of the circuit, or if it has one row, draws from that
  uint64_t key;               // random numbers
} Down;

typedef struct {
  Block *m, *e, *flow;        // [slot]
  Block *s, *left;            // scratch: operands on a common scale; flows over values
  REAL *turned;               // scratch: operands, [B][operand]
  int32_t *state;             // [variable][B]; -1: missing, -2: not a state
  int32_t *reached;           // [instruction][B] the unit that is reached, or -1
} Space;

static inline vec fill(REAL number) { return number - (vec){}; }
static inline vec choose(bits where, vec a, vec b) {
  return (vec)((where & (bits)a) | (~where & (bits)b));
}
static inline vec larger(vec a, vec b) { return choose(a > b, a, b); }

// 2^n for whole numbers n; 0 below the range of normal numbers, at most MOST, and NaN for NaN.
static inline vec power(vec n) {
  n = choose(n < fill(-BIAS), fill(-BIAS), n);
  n = choose(n > fill(MOST), fill(MOST), n);
  return (vec)((__builtin_convertvector(n, bits) + BIAS) << SHIFT) + (n - n);
}

// Splits x 2^e; e is finite or -inf. If x is infinite or NaN, so is the new e.
static inline void split(vec x, vec e, vec *m, vec *out) {
  const bits raw = (bits)x, exponent = (raw >> SHIFT) & (2 * BIAS + 1);
  const bits zero = exponent == 0, strange = exponent == 2 * BIAS + 1;
  const vec one = fill(1), more = __builtin_convertvector(exponent - BIAS, vec);
  *m = choose(zero, fill(0), (vec)((raw & (((BITS)1 << SHIFT) - 1)) | (bits)one));
  *out = choose(zero, fill(-INFINITY), e + choose(strange, x, more));
}

// The same for weights, which may be smaller than normal numbers.
static inline void split_weight(REAL w, vec *m, vec *out) {
  const int tiny = w < LOWEST;
  split(fill(tiny ? w * UPWARDS : w), fill(tiny ? -64 : 0), m, out);
}

static inline REAL across(vec sum) {
  REAL each[VL];
  memcpy(each, &sum, sizeof(vec));
  for (int step = VL / 2; step; step /= 2)
    for (int l = 0; l < step; ++l) each[l] += each[l + step];
  return each[0];
}

static inline REAL total(const Block *a, const Block *b) {
  vec sum = a->v[0] * b->v[0];
  for (int k = 1; k < NV; ++k) sum += a->v[k] * b->v[k];
  return across(sum);
}

static inline REAL added(const Block *a) {
  vec sum = a->v[0];
  for (int k = 1; k < NV; ++k) sum += a->v[k];
  return across(sum);
}

static const REAL *weights_of(const Circuit *c, const Code *i) {
  return c->tables[i->table] + (int64_t)i->place * i->units * c->columns[i->table];
}

// Values of a leaf that has a table of states.
static void leaf_up(const Circuit *c, const Space *s, const Code *i) {
  const int32_t *state = s->state + (int64_t)i->variable * B, states = c->columns[i->table];
  const REAL *w = weights_of(c, i);
  int missing = 0;
  for (int b = 0; b < B; ++b) missing |= state[b] == -1;
  for (int u = 0; u < i->units; ++u, w += states) {
    REAL all = 0, x[B];
    if (missing)
      for (int j = 0; j < states; ++j) all = !c->best ? all + w[j] : w[j] > all ? w[j] : all;
    for (int b = 0; b < B; ++b)
      x[b] = state[b] >= 0 && state[b] < states ? w[state[b]] : state[b] == -1 ? all : 0;
    Block read;
    memcpy(&read, x, sizeof(x));
    for (int k = 0; k < NV; ++k) {
      const bits tiny = read.v[k] < fill(LOWEST);
      split(choose(tiny, read.v[k] * UPWARDS, read.v[k]), choose(tiny, fill(-64), fill(0)),
            &s->m[i->out + u].v[k], &s->e[i->out + u].v[k]);
    }
  }
}

static void indicator_up(const Space *s, const Code *i) {
  const int32_t *state = s->state + (int64_t)i->variable * B;
  for (int u = 0; u < i->units; ++u) {
    REAL m[B], e[B];
    for (int b = 0; b < B; ++b) {
      m[b] = state[b] == u || state[b] == -1 ? 1 : 0;
      e[b] = m[b] > 0 ? 0 : -INFINITY;
    }
    memcpy(s->m + i->out + u, m, sizeof(m));
    memcpy(s->e + i->out + u, e, sizeof(e));
  }
}

// Splits exp(x): the whole part of x / ln 2, and a power series of the rest, x in [-0.35, 0.35].
static inline void exponential(vec x, vec *m, vec *e) {
  const vec binary = x * (REAL)1.4426950408889634, far = fill((BITS)1 << (SHIFT - 1));
  const bits large = (binary > far) | (binary < -far), sane = ~large & (x == x);
  const vec half = choose(binary < fill(0), fill((REAL)-0.5), fill((REAL)0.5));
  const vec whole = __builtin_convertvector(
      __builtin_convertvector(choose(sane, binary + half, fill(0)), bits), vec);
#if WIDE
  const vec high = x - whole * 0x1.62e42fefap-1, rest = high - whole * 0x1.cf79abc9e3b3ap-40;
  const REAL terms = 13;
#else
  const vec high = x - whole * 0x1.62e4p-1f, rest = high - whole * 0x1.7f7d1cp-20f;
  const REAL terms = 7;
#endif
  vec sum = fill(1);
  for (REAL k = terms; k > 0; --k) sum = sum * rest * (1 / k) + 1;
  const bits strange = large | (x != x);
  split(sum, whole, m, e);
  *m = choose(strange, choose(x == fill(-INFINITY), fill(0), fill(1)), *m);
  *e = choose(strange, binary, *e);
}

static void given_up(const Circuit *c, const Space *s, const Code *i, int64_t start, int rows) {
  const REAL *given = c->tables[i->table] + (int64_t)i->place * i->units * c->batch + start;
  for (int u = 0; u < i->units; ++u, given += c->batch) {
    Block log;
    if (rows == B) memcpy(&log, given, sizeof(log));
    else {
      REAL read[B];
      for (int b = 0; b < B; ++b) read[b] = given[b < rows ? b : rows - 1];
      memcpy(&log, read, sizeof(log));
    }
    for (int k = 0; k < NV; ++k)
      exponential(log.v[k], &s->m[i->out + u].v[k], &s->e[i->out + u].v[k]);
  }
}

static inline const int32_t *factor(const Circuit *c, const Code *i, int j, int *step) {
  *step = i->op == OP_CROSSED;
  return c->items + i->first + (*step ? (int64_t)j * i->units : j);
}

static void product_up(const Circuit *c, const Space *s, const Code *i) {
  int crossed;
  const int32_t *first = factor(c, i, 0, &crossed);
  for (int u = 0; u < i->units; ++u) {
    const int at = crossed ? first[u] : first[0] + u;
    Block m = s->m[at], e = s->e[at];
    for (int j = 1; j < i->count; ++j) {
      const int32_t *other = factor(c, i, j, &crossed);
      const int more = crossed ? other[u] : other[0] + u;
      for (int k = 0; k < NV; ++k) m.v[k] *= s->m[more].v[k], e.v[k] += s->e[more].v[k];
      if (j % 64 == 0)
        for (int k = 0; k < NV; ++k) split(m.v[k], e.v[k], &m.v[k], &e.v[k]);
    }
    for (int k = 0; k < NV; ++k)
      split(m.v[k], e.v[k], &s->m[i->out + u].v[k], &s->e[i->out + u].v[k]);
  }
}

// The sum of ``n`` weighted terms, over 2^top; long sums are added in halves.
static Block terms(const Space *s, const int32_t *slots, int shift, const REAL *w, int n,
                 const vec *top) {
  Block sum;
  for (int k = 0; k < NV; ++k) sum.v[k] = fill(0);
  if (n > 64) {
    const Block a = terms(s, slots, shift, w, n / 2, top);
    const Block b = terms(s, slots + n / 2, shift, w + n / 2, n - n / 2, top);
    for (int k = 0; k < NV; ++k) sum.v[k] = a.v[k] + b.v[k];
    return sum;
  }
  for (int j = 0; j < n; ++j) {
    if (w[j] == 0) continue;
    vec one, at;
    split_weight(w[j], &one, &at);
    for (int k = 0; k < NV; ++k) {
      const Block *m = s->m + slots[j] + shift, *e = s->e + slots[j] + shift;
      sum.v[k] += one * m->v[k] * power(e->v[k] + at - top[k]);
    }
  }
  return sum;
}

// A sum of weighted terms, each on its own scale.
static void mix_up(const Circuit *c, const Space *s, const Code *i, int u, const REAL *w) {
  const int32_t *slots = c->items + i->first;
  const int shift = i->op == OP_MIXTURE ? u : 0;
  vec top[NV];
  for (int k = 0; k < NV; ++k) top[k] = fill(-INFINITY);
  for (int j = 0; j < i->count; ++j) {
    if (w[j] == 0) continue;
    vec one, at;
    split_weight(w[j], &one, &at);
    for (int k = 0; k < NV; ++k) top[k] = larger(s->e[slots[j] + shift].v[k] + at, top[k]);
  }
  for (int k = 0; k < NV; ++k) top[k] = choose(top[k] == fill(-INFINITY), fill(0), top[k]);
  const Block sum = terms(s, slots, shift, w, i->count, top);
  for (int k = 0; k < NV; ++k)
    split(sum.v[k], top[k], &s->m[i->out + u].v[k], &s->e[i->out + u].v[k]);
}

// Brings operands to one scale for each row, which is returned: m 2^(e - top).
static Block gather(const Circuit *c, const Space *s, const Code *i) {
  const int32_t *items = c->items + i->first;
  Block top = s->e[items[0]];
  for (int j = 1; j < i->count; ++j)
    for (int k = 0; k < NV; ++k) top.v[k] = larger(s->e[items[j]].v[k], top.v[k]);
  for (int k = 0; k < NV; ++k)
    top.v[k] = choose(top.v[k] == fill(-INFINITY), fill(0), top.v[k]);
  for (int j = 0; j < i->count; ++j)
    for (int k = 0; k < NV; ++k)
      s->s[j].v[k] = s->m[items[j]].v[k] * power(s->e[items[j]].v[k] - top.v[k]);
  return top;
}

static int any(bits where) {
  BITS found = 0;
  for (int l = 0; l < VL; ++l) found |= where[l];
  return found != 0;
}

static void finish(const Circuit *c, const Space *s, const Code *i, int u, const REAL *w,
                   const vec *sum, const Block *top) {
  Block *m = s->m + i->out + u, *e = s->e + i->out + u, whole, exponent;
  bits far[NV];
  int lost = 0;
  for (int k = 0; k < NV; ++k) {
    split(sum[k], fill(0), &whole.v[k], &exponent.v[k]);
    far[k] = exponent.v[k] < fill(LEAST);
    lost |= any(far[k]);
    exponent.v[k] += top->v[k];
  }
  if (lost) mix_up(c, s, i, u, w);  // terms of some rows may have underflowed
  for (int k = 0; k < NV; ++k) {
    m->v[k] = choose(far[k], m->v[k], whole.v[k]);
    e->v[k] = choose(far[k], e->v[k], exponent.v[k]);
  }
}

static void sum_up(const Circuit *c, const Space *s, const Code *i) {
  const REAL *w = weights_of(c, i);
  const int n = i->count;
  const Block top = gather(c, s, i);
  int u = 0;
  for (; u + UB <= i->units; u += UB, w += UB * n) {
    vec sum[UB][NV];
    for (int r = 0; r < UB; ++r)
      for (int k = 0; k < NV; ++k) sum[r][k] = fill(0);
    for (int j = 0; j < n; ++j)
      for (int r = 0; r < UB; ++r)
        for (int k = 0; k < NV; ++k) sum[r][k] += w[r * n + j] * s->s[j].v[k];
    for (int r = 0; r < UB; ++r) finish(c, s, i, u + r, w + r * n, sum[r], &top);
  }
  for (; u < i->units; ++u, w += n) {
    vec sum[NV];
    for (int k = 0; k < NV; ++k) sum[k] = fill(0);
    for (int j = 0; j < n; ++j)
      for (int k = 0; k < NV; ++k) sum[k] += w[j] * s->s[j].v[k];
    finish(c, s, i, u, w, sum, &top);
  }
}

static void read_states(const Circuit *c, const Space *s, int64_t start, int rows) {
  for (int b = 0; b < B; ++b) {
    const REAL *x = c->x + (start + (b < rows ? b : rows - 1)) * c->variables;
    for (int64_t v = 0; v < c->variables; ++v) {
      const int whole = x[v] >= 0 && x[v] < 1e9f ? (int)x[v] : -2;
      s->state[v * B + b] = x[v] != x[v] ? -1 : whole >= 0 && (REAL)whole != x[v] ? -2 : whole;
    }
  }
}

// The largest of a unit's weighted terms, each on its own scale.
static void best_mix(const Circuit *c, const Space *s, const Code *i, int u, const REAL *w,
                     Block *m, Block *e) {
  const int32_t *slots = c->items + i->first;
  const int shift = i->op == OP_MIXTURE ? u : 0;
  for (int k = 0; k < NV; ++k) m->v[k] = fill(0), e->v[k] = fill(-INFINITY);
  for (int j = 0; j < i->count; ++j) {
    if (w[j] == 0) continue;
    vec one, at, x, scale;
    split_weight(w[j], &one, &at);
    for (int k = 0; k < NV; ++k) {
      const int slot = slots[j] + shift;
      split(one * s->m[slot].v[k], s->e[slot].v[k] + at, &x, &scale);
      const bits more = (scale > e->v[k]) | ((scale == e->v[k]) & (x > m->v[k]));
      m->v[k] = choose(more, x, m->v[k]);
      e->v[k] = choose(more, scale, e->v[k]);
    }
  }
}

// The largest terms of all units of a sum: on a common scale, unless that loses them.
static void best_up(const Circuit *c, const Space *s, const Code *i) {
  const REAL *w = weights_of(c, i);
  const int dense = i->op == OP_SUM && i->units > 1;
  Block top;
  if (dense) top = gather(c, s, i);
  for (int u = 0; u < i->units; ++u, w += i->count) {
    Block *m = s->m + i->out + u, *e = s->e + i->out + u;
    if (!dense) {
      best_mix(c, s, i, u, w, m, e);
      continue;
    }
    vec best[NV];
    for (int k = 0; k < NV; ++k) best[k] = fill(0);
    for (int j = 0; j < i->count; ++j)
      for (int k = 0; k < NV; ++k) best[k] = larger(w[j] * s->s[j].v[k], best[k]);
    int lost = 0;
    for (int k = 0; k < NV; ++k) {
      split(best[k], fill(0), &m->v[k], &e->v[k]);
      lost |= any(e->v[k] < fill(LEAST));
      e->v[k] += top.v[k];
    }
    if (lost) best_mix(c, s, i, u, w, m, e);
  }
}

// Values of all slots for a block of rows. Returns 0 if it meets an unknown instruction.
static int up(const Circuit *c, const Space *s, int64_t start, int rows) {
  for (const Code *i = c->code; i < c->code + c->instructions; ++i) {
    if (i->op == OP_TABLE) leaf_up(c, s, i);
    else if (i->op == OP_INDICATOR) indicator_up(s, i);
    else if (i->op == OP_GIVEN) given_up(c, s, i, start, rows);
    else if (i->op == OP_PRODUCT || i->op == OP_CROSSED) product_up(c, s, i);
    else if (c->best && (i->op == OP_SUM || i->op == OP_MIXTURE)) best_up(c, s, i);
    else if (i->op == OP_SUM && i->units > 1) sum_up(c, s, i);
    else if (i->op == OP_SUM || i->op == OP_MIXTURE) {
      const REAL *w = weights_of(c, i);
      for (int u = 0; u < i->units; ++u) mix_up(c, s, i, u, w + (int64_t)u * i->count);
    } else return 0;
  }
  return 1;
}

static void leaf_down(const Circuit *c, const Space *s, const Code *i, GRAD *g) {
  const int32_t *state = s->state + (int64_t)i->variable * B, states = c->columns[i->table];
  const REAL *w = weights_of(c, i);
  for (int u = 0; u < i->units; ++u, w += states, g += states) {
    const REAL *flow = (const REAL *)(s->flow + i->out + u);
    REAL every = 0;
    for (int b = 0; b < B; ++b) {
      if (state[b] >= 0 && state[b] < states) {
        const REAL value = w[state[b]];
        if (value > 0) g[state[b]] += c->counts ? flow[b] : flow[b] / value;
      } else if (state[b] == -1) every += flow[b];
    }
    if (every == 0 || c->counts) continue;
    REAL all = 0;
    for (int j = 0; j < states; ++j) all += w[j];
    for (int j = 0; j < states && all > 0; ++j) g[j] += every / all;
  }
}

static void product_down(const Circuit *c, const Space *s, const Code *i) {
  for (int j = 0; j < i->count; ++j) {
    int crossed;
    const int32_t *to = factor(c, i, j, &crossed);
    for (int u = 0; u < i->units; ++u) {
      Block *below = s->flow + (crossed ? to[u] : to[0] + u);
      for (int k = 0; k < NV; ++k) below->v[k] += s->flow[i->out + u].v[k];
    }
  }
}

// Flows of one unit's terms, each on its own scale, for the rows in ``where``.
static void mix_down(const Circuit *c, const Space *s, const Code *i, int u, const REAL *w, GRAD *g,
                     const bits *where) {
  const int32_t *items = c->items + i->first;
  const int shift = i->op == OP_MIXTURE ? u : 0;
  const Block *m = s->m + i->out + u, *e = s->e + i->out + u, *flow = s->flow + i->out + u;
  vec ratio[NV], scale[NV];
  for (int k = 0; k < NV; ++k) {
    const bits zero = ~(m->v[k] > fill(0)) | ~where[k];
    ratio[k] = choose(zero, fill(0), flow->v[k] / m->v[k]);
    scale[k] = choose(zero, fill(0), e->v[k]);
  }
  for (int j = 0; j < i->count; ++j) {
    const int at = items[j] + shift;
    const int none = w[j] == 0;  // no flow, but a derivative
    vec one = fill(1), more = fill(0);
    if (!none) split_weight(w[j], &one, &more);
    Block share;
    for (int k = 0; k < NV; ++k) {
      share.v[k] = ratio[k] * (one * s->m[at].v[k]) * power(s->e[at].v[k] + more - scale[k]);
      if (!none) s->flow[at].v[k] += share.v[k];
    }
    if (!g) continue;
    const REAL found = added(&share);
    if (c->counts) g[j] += none ? 0 : found;
    else g[j] += none ? found : fmax(-HUGEST, fmin(HUGEST, found / w[j]));
  }
}

// Gradients of a dense sum's weights: products of flows over values and operands, over all rows.
static void outer(const Circuit *c, const Space *s, int units, int n, const REAL *w, GRAD *g) {
  int wide = 0;  // operands that are done, a vector of them at a time
#if B > 1
  if (units >= UB) {
    for (int b = 0; b < B; ++b)
      for (int j = 0; j < n; ++j) s->turned[(int64_t)b * n + j] = ((const REAL *)(s->s + j))[b];
    wide = n / VL * VL;
    for (int first = 0; first < units; first += UB) {
      const int most = units - first < UB ? units - first : UB;
      for (int j = 0; j < wide; j += VL) {
        vec sum[UB];
        for (int r = 0; r < UB; ++r) sum[r] = fill(0);
        for (int b = 0; b < B; ++b) {
          vec below;
          memcpy(&below, s->turned + (int64_t)b * n + j, sizeof(vec));
          for (int r = 0; r < UB; ++r)
            sum[r] += ((const REAL *)(s->left + first + (r < most ? r : 0)))[b] * below;
        }
        for (int r = 0; r < most; ++r) {
          const int64_t at = (int64_t)(first + r) * n + j;
          vec weight;
          if (c->counts) memcpy(&weight, w + at, sizeof(vec)), sum[r] *= weight;
          for (int l = 0; l < VL; ++l) g[at + l] += sum[r][l];
        }
      }
    }
  }
#endif
  for (int u = 0; u < units; ++u)
    for (int j = wide; j < n; ++j) {
      const int64_t at = (int64_t)u * n + j;
      const REAL found = total(s->left + u, s->s + j);
      g[at] += c->counts ? found * w[at] : found;
    }
}

static void sum_down(const Circuit *c, const Space *s, const Code *i, GRAD *g) {
  const REAL *w = weights_of(c, i);
  const int n = i->count;
  const Block top = gather(c, s, i);
  for (int u = 0; u < i->units; ++u) {
    const Block *m = s->m + i->out + u, *e = s->e + i->out + u, *flow = s->flow + i->out + u;
    bits far[NV];
    int lost = 0;
    for (int k = 0; k < NV; ++k) {
      const bits none = ~(m->v[k] > fill(0));
      far[k] = (e->v[k] - top.v[k] < fill(LEAST)) & ~none & (flow->v[k] != fill(0));
      lost |= any(far[k]);
      const vec found = flow->v[k] / m->v[k] * power(top.v[k] - e->v[k]);
      s->left[u].v[k] = choose(far[k] | none, fill(0), found);
    }
    if (lost) mix_down(c, s, i, u, w + (int64_t)u * n, g ? g + (int64_t)u * n : g, far);
  }
  const int32_t *items = c->items + i->first;
  int j = 0;
  for (; j + UB <= n; j += UB) {
    vec sum[UB][NV];
    for (int r = 0; r < UB; ++r)
      for (int k = 0; k < NV; ++k) sum[r][k] = fill(0);
    for (int u = 0; u < i->units; ++u)
      for (int r = 0; r < UB; ++r)
        for (int k = 0; k < NV; ++k) sum[r][k] += w[(int64_t)u * n + j + r] * s->left[u].v[k];
    for (int r = 0; r < UB; ++r)
      for (int k = 0; k < NV; ++k) s->flow[items[j + r]].v[k] += s->s[j + r].v[k] * sum[r][k];
  }
  for (; j < n; ++j) {
    vec sum[NV];
    for (int k = 0; k < NV; ++k) sum[k] = fill(0);
    for (int u = 0; u < i->units; ++u)
      for (int k = 0; k < NV; ++k) sum[k] += w[(int64_t)u * n + j] * s->left[u].v[k];
    for (int k = 0; k < NV; ++k) s->flow[items[j]].v[k] += s->s[j].v[k] * sum[k];
  }
  if (g) outer(c, s, i->units, n, w, g);
}

static void down(const Circuit *c, const Space *s, int64_t start, int rows, const Down *d,
                 GRAD *grads) {
  memset(s->flow, 0, sizeof(Block) * c->slots);
  REAL *root = (REAL *)(s->flow + c->slots - 1);
  for (int b = 0; b < rows; ++b) root[b] = d->flows[start + b];
  bits every[NV];
  for (int k = 0; k < NV; ++k) every[k] = ~(bits){};
  for (const Code *i = c->code + c->instructions - 1; i >= c->code; --i) {
    if (i->op == OP_PRODUCT || i->op == OP_CROSSED) {
      product_down(c, s, i);
      continue;
    }
    const int leaf = i->op == OP_TABLE || i->op == OP_INDICATOR || i->op == OP_GIVEN;
    if (leaf && d->leaves)
      for (int u = 0; u < i->units; ++u) {
        REAL *to = d->leaves + (int64_t)(i->first + u) * d->rows + start;
        memcpy(to, s->flow + i->out + u, sizeof(REAL) * rows);
      }
    if (i->op == OP_INDICATOR || (i->op == OP_TABLE && !grads)) continue;
    if (i->op == OP_GIVEN) {
      for (int u = 0; u < i->units && d->given; ++u) {
        REAL *to = d->given[i->table] + ((int64_t)i->place * i->units + u) * c->batch + start;
        memcpy(to, s->flow + i->out + u, sizeof(REAL) * rows);
      }
      continue;
    }
    const int64_t size = (int64_t)i->units * c->columns[i->table];
    GRAD *g = grads ? grads + c->offsets[i->table] + i->place * size : grads;
    if (i->op == OP_TABLE) leaf_down(c, s, i, g);
    else if (i->op == OP_SUM && i->units > 1) sum_down(c, s, i, g);
    else
      for (int u = 0; u < i->units; ++u) {
        const int64_t row = (int64_t)u * i->count;
        mix_down(c, s, i, u, weights_of(c, i) + row, g ? g + row : g, every);
      }
  }
}

// A positive number as x 2^e with x in [1, 2).
static inline double split_one(double x, double *e) {
  const int tiny = x < 2.2250738585072014e-308;
  uint64_t raw;
  if (tiny) x *= 18446744073709551616.;
  memcpy(&raw, &x, 8);
  *e += (double)((int)(raw >> 52) - 1023 - (tiny ? 64 : 0));
  raw = (raw & 0xfffffffffffffULL) | 0x3ff0000000000000ULL;
  memcpy(&x, &raw, 8);
  return x;
}

// x 2^by for x in [1, 2) and a whole number that is not positive; 0 if that is far below 1.
static inline double lowered(double x, double by) {
  int64_t raw;
  if (by < -1000) return 0;
  memcpy(&raw, &x, 8);
  raw += (int64_t)by * ((int64_t)1 << 52);
  memcpy(&x, &raw, 8);
  return x;
}

// One term of a sum for one row, as split_one splits it; 0 if it is zero.
static inline double term(const Space *s, REAL w, int slot, int b, double *e) {
  const REAL m = ((const REAL *)(s->m + slot))[b];
  *e = (double)((const REAL *)(s->e + slot))[b];
  return w > 0 && m > 0 ? split_one((double)w * (double)m, e) : 0;
}

// A number in [0, 1): the output of splitmix64 (Steele, Lea and Flood 2014) after ``at`` steps.
static inline double uniform(uint64_t key, uint64_t at) {
  uint64_t z = key + (at + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

// The largest term of a unit for one row.
static int best_term(const Circuit *c, const Space *s, const Code *i, int u, int b) {
  const REAL *w = weights_of(c, i) + (int64_t)u * i->count;
  const int32_t *slots = c->items + i->first;
  const int shift = i->op == OP_MIXTURE ? u : 0;
  double most = 0, top = -INFINITY, e;
  int best = 0;
  for (int j = 0; j < i->count; ++j) {
    const double x = term(s, w[j], slots[j] + shift, b, &e);
    if (x > 0 && (e > top || (e == top && x > most))) best = j, most = x, top = e;
  }
  return best;
}

// A term of a unit for one row, drawn in proportion to its size; ``number`` is in [0, 1).
static int drawn_term(const Circuit *c, const Space *s, const Code *i, int u, int b,
                      double number) {
  const REAL *w = weights_of(c, i) + (int64_t)u * i->count;
  const int32_t *slots = c->items + i->first;
  const int shift = i->op == OP_MIXTURE ? u : 0;
  double top = -INFINITY, all = 0, x[FEW], e[FEW];  // the terms, if they are few
  int last = 0;
  for (int j = 0; j < i->count; ++j) {
    const int at = j % FEW;
    x[at] = term(s, w[j], slots[j] + shift, b, e + at);
    if (x[at] > 0 && e[at] > top) top = e[at];
  }
  for (int pass = 0; pass < 2; ++pass) {
    double left = number * all;
    for (int j = 0; j < i->count; ++j) {
      const int at = j % FEW;
      if (i->count > FEW) x[at] = term(s, w[j], slots[j] + shift, b, e + at);
      const double size = x[at] > 0 ? lowered(x[at], e[at] - top) : 0;
      if (pass == 0 && size > 0) all += size, last = j;
      if (pass == 1 && (left -= size) < 0) return j;
    }
  }
  return last;
}

// The leaves of one induced tree for each row, from the root down.
static void choose_down(const Circuit *c, const Space *s, const Down *d, int64_t start, int rows) {
  memset(s->reached, 255, sizeof(int32_t) * B * c->instructions);
  for (int64_t n = c->instructions - 1; n >= 0; --n) {
    const Code *i = c->code + n;
    int32_t *reached = s->reached + n * B, none = -1;
    if (n == c->instructions - 1)
      for (int b = 0; b < rows; ++b) reached[b] = i->units - 1;
    for (int b = 0; b < B; ++b) none &= reached[b];
    if (none == -1) continue;
    for (int b = 0; b < rows; ++b) {
      const int u = reached[b];
      if (u < 0) continue;
      int first = 0, last = i->count;
      if (i->op == OP_TABLE || i->op == OP_INDICATOR || i->op == OP_GIVEN)
        d->chosen[i->variable * d->rows + start + b] = i->first + u;
      if (i->op == OP_SUM || i->op == OP_MIXTURE) {
        const uint64_t at = (uint64_t)(start + b) * c->instructions + n;
        first = c->best ? best_term(c, s, i, u, b) : drawn_term(c, s, i, u, b, uniform(d->key, at));
        last = first + 1;
      }
      for (int j = first; j < last; ++j) {
        int slot = c->items[i->first + (i->op == OP_CROSSED ? (int64_t)j * i->units + u : j)];
        if (i->op == OP_PRODUCT || i->op == OP_MIXTURE) slot += u;
        const int32_t to = c->owner[slot];
        s->reached[(int64_t)to * B + b] = slot - c->code[to].out;
      }
    }
  }
}

static Space part_of(const Circuit *c, char *memory, int64_t widest) {
  Block *block = (Block *)memory;
  Space s = {.m = block, .e = block + c->slots, .flow = block + 2 * c->slots};
  s.s = block + 3 * c->slots;
  s.left = s.s + widest;
  s.turned = (REAL *)(s.left + widest);
  s.state = (int32_t *)(s.left + 2 * widest);
  s.reached = s.state + c->variables * B;
  return s;
}

// Bytes of memory that a thread needs, and bytes of the values of a block.
int64_t bytes(int64_t slots, int64_t widest, int64_t variables, int64_t instructions) {
  const int64_t states = ((variables + instructions) * B * 4 + 63) / 64 * 64;
  return (int64_t)sizeof(Block) * (3 * slots + 3 * widest) + states;
}

int64_t kept_bytes(int64_t slots) { return (int64_t)sizeof(Block) * 2 * slots; }

// Log-values of the root, to ``value`` unless it is null. The blocks are cut into ``parts``, which
// threads share. ``widest`` is the largest fan-in or number of units. Values of all blocks go to
// ``kept`` unless it is null. With ``d``, also what it asks for; values are computed again unless
// they were kept.
int run(const Circuit *c, int threads, int parts, char *memory, int64_t widest, char *kept,
        REAL *value, const Down *d) {
  const int64_t space = bytes(c->slots, widest, c->variables, c->instructions);
  const int64_t all = d ? d->rows : c->batch, blocks = (all + B - 1) / B;
  int fine = 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1) reduction(& : fine)
  for (int t = 0; t < parts; ++t) {
    Space s = part_of(c, memory + THREAD * space, widest);
    for (int64_t k = blocks * t / parts; k < blocks * (t + 1) / parts; ++k) {
      const int64_t start = k * B, own = c->batch == 1 ? 0 : k;
      const int rows = all - start < B ? (int)(all - start) : B;
      const int given = c->batch == 1 ? 1 : rows;  // all rows of a block are alike if there is one
      if (kept) {
        s.m = (Block *)(kept + own * kept_bytes(c->slots));
        s.e = s.m + c->slots;
      }
      if (value || !kept || d->grads) read_states(c, &s, own * B, given);
      if (value || !kept) fine &= up(c, &s, own * B, given);
      const REAL *m = (const REAL *)(s.m + c->slots - 1), *e = (const REAL *)(s.e + c->slots - 1);
      for (int b = 0; value && b < given; ++b)
        value[start + b] = (REAL)(log((double)m[b]) + (double)e[b] * 0.6931471805599453);
      if (d && d->chosen) choose_down(c, &s, d, start, rows);
      else if (d) down(c, &s, start, rows, d, d->grads ? d->grads + t * d->size : d->grads);
    }
  }
  return fine;
}
