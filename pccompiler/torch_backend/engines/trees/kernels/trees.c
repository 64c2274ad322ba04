// Trees of regions on a CPU: one tree and one block of rows at a time, values in cache.
//
// Values and flows: [unit][row of the block]. A product is scaled by the power of two that puts its
// largest unit to [1, 2); the exponents of a tree's products add up to its scale. On the way down,
// flows need no scale. Compiled with K (units) and B (rows of a block, a multiple of 16).
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  const int32_t *starts;      // first region of each tree; children before parents
  const int32_t *weight;      // row among square weights, -1: none, -2 - row among the roots'
  const int32_t *parent;      // region in its tree; -1: root
  const int32_t *kind;        // [region][side]: 0 none, 1 region, 2 leaf
  const int32_t *source;      // [region][side]: region in its tree, or variable
  const int32_t *leaf;        // [region][side]: row among leaf weights
  const int32_t *input;       // [region][side]: row among those of input layers
  const float *square, *top, *leaves;  // [row][K][K], [row][K], [row][K][2]
  const float *zero, *one;    // [variable][rows]: whether a value may be 0 or 1; missing: both
  int64_t rows;               // a multiple of B
  int64_t counts;             // whether gradients are multiplied by weights, see `down`
  int64_t best;               // whether values are those of the best induced trees
} Trees;

typedef float Units[K][B];

#define INLINE static inline __attribute__((always_inline))

INLINE void leaf_value(const Trees *t, int32_t row, int32_t variable, int64_t first, const int best,
                       Units v) {
  const float *w = t->leaves + (int64_t)row * 2 * K;
  const float *zero = t->zero + variable * t->rows + first, *one = t->one + variable * t->rows + first;
  for (int u = 0; u < K; ++u)
    for (int b = 0; b < B; ++b) {
      const float off = zero[b] * w[2 * u], on = one[b] * w[2 * u + 1];
      v[u][b] = !best ? off + on : off > on ? off : on;
    }
}

static const float *weights_of(const Trees *t, int32_t weight, int *units) {
  *units = weight >= 0 ? K : 1;
  return weight >= 0 ? t->square + (int64_t)weight * K * K : t->top + (int64_t)(-2 - weight) * K;
}

// Values v and scaled products p of a tree's regions, and the sum of their exponents.
// If ``best``, the largest terms take the place of sums.
INLINE void up_by(const Trees *t, int32_t tree, int64_t first, const int best, Units *v, Units *p,
                  int32_t *exponent) {
  const int32_t start = t->starts[tree], regions = t->starts[tree + 1] - start;
  for (int b = 0; b < B; ++b) exponent[b] = 0;
  for (int32_t r = 0; r < regions; ++r) {
    Units operand;
    const int32_t *kind = t->kind + 2 * (start + r), *source = t->source + 2 * (start + r);
    for (int side = 0; side < 2; ++side) {
      const float(*from)[B] = operand;
      if (kind[side] == CHILD_NONE) continue;
      if (kind[side] == CHILD_LANE) from = v[source[side]];
      else leaf_value(t, t->leaf[2 * (start + r) + side], source[side], first, best, operand);
      if (side == 0) memcpy(p[r], from, sizeof(Units));
      else
        for (int u = 0; u < K; ++u)
          for (int b = 0; b < B; ++b) p[r][u][b] *= from[u][b];
    }
    float scale[B];
    int32_t bits[B];
    for (int b = 0; b < B; ++b) scale[b] = p[r][0][b];
    for (int u = 1; u < K; ++u)
      for (int b = 0; b < B; ++b) scale[b] = p[r][u][b] > scale[b] ? p[r][u][b] : scale[b];
    memcpy(bits, scale, sizeof(bits));
    for (int b = 0; b < B; ++b) {
      bits[b] &= 0x7f800000;
      exponent[b] += (bits[b] >> 23) - 127;
      bits[b] = 0x7f000000 - bits[b];
    }
    memcpy(scale, bits, sizeof(bits));
    for (int u = 0; u < K; ++u)
      for (int b = 0; b < B; ++b) p[r][u][b] *= scale[b];
    if (t->weight[start + r] == -1) {
      memcpy(v[r], p[r], sizeof(Units));
      continue;
    }
    int units;
    const float *w = weights_of(t, t->weight[start + r], &units);
    for (int u = 0; u < units; ++u) {
      float sum[B];
      for (int b = 0; b < B; ++b) sum[b] = w[u * K] * p[r][0][b];
      for (int j = 1; j < K; ++j)
        for (int b = 0; b < B; ++b) {
          const float term = w[u * K + j] * p[r][j][b];
          sum[b] = !best ? sum[b] + term : term > sum[b] ? term : sum[b];
        }
      memcpy(v[r][u], sum, sizeof(sum));
    }
  }
}

static void up(const Trees *t, int32_t tree, int64_t first, Units *v, Units *p, int32_t *exponent) {
  if (t->best) up_by(t, tree, first, 1, v, p, exponent);
  else up_by(t, tree, first, 0, v, p, exponent);
}

static float total(const float *a, const float *b) {
  float sum = 0.f;
  for (int i = 0; i < B; ++i) sum += a[i] * b[i];
  return sum;
}

// Adds to the gradients of a leaf's weights, from the flow g of all its rows.
static void leaf_gradient(const Trees *t, int32_t row, int32_t variable, int64_t first,
                          const Units g, float *leaves) {
  const float *w = t->leaves + (int64_t)row * 2 * K;
  const float *zero = t->zero + variable * t->rows + first, *one = t->one + variable * t->rows + first;
  float none[B], only_zero[B], only_one[B];
  for (int b = 0; b < B; ++b) {
    none[b] = zero[b] * one[b];
    only_zero[b] = zero[b] - none[b];
    only_one[b] = one[b] - none[b];
  }
  float *out = leaves + (int64_t)row * 2 * K;
  for (int u = 0; u < K; ++u) {
    const float zeros = total(g[u], only_zero), ones = total(g[u], only_one);
    if (t->counts) {
      out[2 * u] += zeros;
      out[2 * u + 1] += ones;
      continue;
    }
    const float both = total(g[u], none) / (w[2 * u] + w[2 * u + 1]);
    out[2 * u] += zeros / w[2 * u] + both;
    out[2 * u + 1] += ones / w[2 * u + 1] + both;
  }
}

// Adds to the flows of a leaf's states, [input row][state][rows], from the flow g of its sum.
static void state_flows(const Trees *t, int64_t at, int64_t first, const Units g, float *flows) {
  const float *w = t->leaves + (int64_t)t->leaf[at] * 2 * K;
  const int64_t column = t->source[at] * t->rows + first;
  const float *zero = t->zero + column, *one = t->one + column;
  float *out = flows + 2 * t->input[at] * t->rows + first;
  for (int u = 0; u < K; ++u)
    for (int b = 0; b < B; ++b) {
      const float off = zero[b] * w[2 * u], on = one[b] * w[2 * u + 1];
      const float ratio = off + on > 0.f ? g[u][b] / (off + on) : 0.f;
      out[b] += ratio * off;
      out[t->rows + b] += ratio * on;
    }
}

// Gradients of weights, or expected counts, which are weights times gradients; a missing value gives
// leaves no counts. If ``square`` is null, the flows of leaves' states instead, added to ``leaves``.
// Flows of a region replace its product once they are known.
static void down(const Trees *t, int32_t tree, int64_t first, const float *flow, Units *v, Units *p,
                 float *square, float *top, float *leaves) {
  const int32_t start = t->starts[tree], regions = t->starts[tree + 1] - start;
  for (int32_t r = regions - 1; r >= 0; --r) {
    const int32_t weight = t->weight[start + r], parent = t->parent[start + r];
    Units ratio, g;
    int units = K;
    if (weight == -1) {
      if (parent >= 0) memcpy(g, p[parent], sizeof(Units));
      else
        for (int u = 0; u < K; ++u)
          for (int b = 0; b < B; ++b) g[u][b] = u == 0 ? flow[b] : 0.f;
    } else {
      const float *w = weights_of(t, weight, &units);
      float *d = !square ? square : weight >= 0 ? square + (int64_t)weight * K * K
                                                : top + (int64_t)(-2 - weight) * K;
      for (int u = 0; u < units; ++u) {
        const float *from = parent >= 0 ? p[parent][u] : flow;
        for (int b = 0; b < B; ++b) ratio[u][b] = v[r][u][b] > 0.f ? from[b] / v[r][u][b] : 0.f;
        for (int j = 0; d && j < K; ++j) {
          const float found = total(ratio[u], p[r][j]);
          d[u * K + j] += t->counts ? found * w[u * K + j] : found;
        }
      }
      for (int j = 0; j < K; ++j) {
        float sum[B];
        for (int b = 0; b < B; ++b) sum[b] = w[j] * ratio[0][b];
        for (int u = 1; u < units; ++u)
          for (int b = 0; b < B; ++b) sum[b] += w[u * K + j] * ratio[u][b];
        for (int b = 0; b < B; ++b) g[j][b] = sum[b] * p[r][j][b];
      }
    }
    memcpy(p[r], g, sizeof(Units));
    for (int side = 0; side < 2; ++side) {
      const int64_t at = 2 * (int64_t)(start + r) + side;
      if (t->kind[at] != CHILD_LEAF) continue;
      if (square) leaf_gradient(t, t->leaf[at], t->source[at], first, (const float(*)[B])g, leaves);
      else state_flows(t, at, first, (const float(*)[B])g, leaves);
    }
  }
}

static void tree_up(const Trees *t, int32_t tree, int64_t first, Units *v, float *roots) {
  const int32_t regions = t->starts[tree + 1] - t->starts[tree];
  int32_t exponent[B];
  up(t, tree, first, v, v + regions, exponent);
  for (int b = 0; b < B; ++b)
    roots[tree * t->rows + first + b] =
        logf(v[regions - 1][0][b]) + exponent[b] * 0.693147180559945309f;
}

static void tree_down(const Trees *t, int32_t tree, int64_t first, Units *v, const float *flows,
                      float *square, float *top, float *leaves) {
  const int32_t regions = t->starts[tree + 1] - t->starts[tree];
  int32_t exponent[B];
  up(t, tree, first, v, v + regions, exponent);
  down(t, tree, first, flows + tree * t->rows + first, v, v + regions, square, top, leaves);
}

static int own_thread(void) {
#ifdef _OPENMP
  extern int omp_get_thread_num(void);
  return omp_get_thread_num();
#else
  return 0;
#endif
}

// Threads take one tree at a time, so that a thread whose core is busy holds up little. space: size
// floats for each thread, a multiple of 16, enough for two values per region of the largest tree.
#define EACH_TREE(CALL) \
  for (int32_t tree = 0; tree < trees; ++tree) { \
    Units *v = (Units *)(space + own_thread() * size); \
    for (int64_t first = 0; first < t->rows; first += B) CALL(t, tree, first, v); \
  }

// Log-values of the trees: roots [tree][rows].
void trees_up(const Trees *t, int32_t trees, int threads, float *space, int64_t size, float *roots) {
#define CALL(t, tree, first, v) tree_up(t, tree, first, v, roots)
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
  EACH_TREE(CALL)
#undef CALL
}

// Adds to the gradients of the trees' weights, from flows [tree][rows]. Either no two trees share
// weights, or threads is 1.
void trees_down(const Trees *t, int32_t trees, int threads, float *space, int64_t size,
                const float *flows, float *square, float *top, float *leaves) {
#define CALL(t, tree, first, v) tree_down(t, tree, first, v, flows, square, top, leaves)
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
  EACH_TREE(CALL)
#undef CALL
}

// Flows of leaves' states, [input row][state][rows], from flows [tree][rows]. Threads share the rows.
void trees_leaves(const Trees *t, int32_t trees, int threads, float *space, int64_t size,
                  const float *flows, float *leaves) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t first = 0; first < t->rows; first += B)
    for (int32_t tree = 0; tree < trees; ++tree)
      tree_down(t, tree, first, (Units *)(space + own_thread() * size), flows, 0, 0, leaves);
}

// A number in [0, 1): the output of splitmix64 (Steele, Lea and Flood 2014) after ``at`` steps.
static double uniform(uint64_t key, uint64_t at) {
  uint64_t z = key + (at + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

typedef struct {
  const int32_t *root;  // the tree of each row
  int32_t *chosen;      // [variable][rows]: the unit of the leaf, among those of all input layers
  int64_t rows;         // as many as there are in the trees, or draws from the one row there
  int64_t numbers;      // random numbers for each row
  uint64_t key;
} Choice;

// The largest of some terms, or one drawn in proportion to its size; a number in [0, 1) is given.
static int pick(const float *terms, int number, int best, double given) {
  double all = 0;
  int found = 0;
  for (int j = 0; j < number; ++j) {
    all += terms[j];
    if (terms[j] > (best ? terms[found] : 0.f)) found = j;
  }
  double left = given * all;
  for (int j = 0; !best && j < number; ++j)
    if ((left -= terms[j]) < 0) return j;
  return found;
}

// The leaves of one induced tree for one row, whose values are in column b of the block.
static void tree_choose(const Trees *t, int32_t tree, int64_t first, const Choice *c, int64_t row,
                        int b, Units *p, int32_t *unit) {
  const int32_t start = t->starts[tree], regions = t->starts[tree + 1] - start;
  const uint64_t number = (uint64_t)row * c->numbers + 3 * (int64_t)start;
  for (int32_t r = regions - 1; r >= 0; --r) {
    const int32_t parent = t->parent[start + r], weight = t->weight[start + r];
    int units, u = parent < 0 ? 0 : unit[parent];
    float terms[K];
    if (weight != -1) {
      const float *w = weights_of(t, weight, &units) + u * K;
      for (int j = 0; j < K; ++j) terms[j] = w[j] * p[r][j][b];
      u = pick(terms, K, t->best, uniform(c->key, number + 3 * r));
    }
    unit[r] = u;
    for (int side = 0; side < 2; ++side) {
      const int64_t at = 2 * (int64_t)(start + r) + side, column = t->source[at] * t->rows + first + b;
      if (t->kind[at] != CHILD_LEAF) continue;
      const float *w = t->leaves + ((int64_t)t->leaf[at] * K + u) * 2;
      const float states[2] = {t->zero[column] * w[0], t->one[column] * w[1]};
      const int state = pick(states, 2, t->best, uniform(c->key, number + 3 * r + 1 + side));
      c->chosen[t->source[at] * c->rows + row] = 2 * t->input[at] + state;
    }
  }
}

// The leaves of one induced tree for each row. units: regions of the largest tree for each thread.
void trees_choose(const Trees *t, int32_t trees, int threads, float *space, int64_t size,
                  const Choice *c, int64_t alone, int32_t *units, int64_t most) {
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
  for (int32_t tree = 0; tree < trees; ++tree) {
    Units *v = (Units *)(space + own_thread() * size), *p = v + t->starts[tree + 1] - t->starts[tree];
    for (int64_t first = 0; first < t->rows; first += B) {
      const int64_t end = alone || first + B > c->rows ? c->rows : first + B;
      int ready = 0;
      for (int64_t row = first; row < end; ++row) {
        int32_t exponent[B];
        if (c->root[row] != tree) continue;
        if (!ready) up(t, tree, first, v, p, exponent);
        ready = 1;
        tree_choose(t, tree, first, c, row, alone ? 0 : row - first, p, units + own_thread() * most);
      }
    }
  }
}

// The tree of each row. roots: [tree][rows], of one row if it is ``alone``.
void mix_choose(const float *roots, const float *share, int64_t trees, int64_t rows, int64_t alone,
                int64_t best, Choice *c, int32_t *root) {
  for (int64_t row = 0; row < c->rows; ++row) {
    const int64_t b = alone ? 0 : row;
    double top = -INFINITY, all = 0;
    for (int64_t r = 0; r < trees; ++r) {
      const double value = (double)roots[r * rows + b] + share[r];
      if (value > top) top = value, root[row] = r;
    }
    if (best) continue;
    for (int64_t r = 0; r < trees; ++r) all += exp((double)roots[r * rows + b] + share[r] - top);
    double left = all * uniform(c->key, (row + 1) * c->numbers - 1);
    for (int64_t r = 0; r < trees; ++r) {
      left -= exp((double)roots[r * rows + b] + share[r] - top);
      if (left < 0) { root[row] = r; break; }
    }
  }
}

// Whether values may be 0 or 1, [variable][rows], from data [row][variable]; missing: both.
void states(const float *x, int64_t batch, int64_t variables, int64_t rows, float *zero, float *one) {
  for (int64_t v = 0; v < variables; ++v)
    for (int64_t b = batch; b < rows; ++b) zero[v * rows + b] = one[v * rows + b] = 1.f;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t v = 0; v < variables; ++v) {
      const float value = x[b * variables + v];
      const int missing = value != value;
      one[v * rows + b] = missing || value > 0.5f;
      zero[v * rows + b] = missing || !(value > 0.5f);
    }
}

// Log-values of a mixture, or of its best tree, [batch], from roots [tree][rows].
void mix_up(const float *roots, const float *share, int64_t trees, int64_t rows, int64_t batch,
            int64_t best, float *out) {
  for (int64_t b = 0; b < batch; ++b) {
    float most = -1e38f, sum = 0.f;
    for (int64_t r = 0; r < trees; ++r) {
      const float value = roots[r * rows + b] + share[r];
      most = value > most ? value : most;
    }
    for (int64_t r = 0; r < trees; ++r) sum += expf(roots[r * rows + b] + share[r] - most);
    out[b] = best ? most : most + logf(sum);
  }
}

// Flows of roots, [tree][rows], and their sums. share: log-weights.
void mix_down(const float *roots, const float *share, const float *values, const float *above,
              int64_t trees, int64_t rows, int64_t batch, float *flows, float *sums) {
  for (int64_t r = 0; r < trees; ++r) {
    float sum = 0.f;
    for (int64_t b = 0; b < batch; ++b) {
      const float flow = above[b] * expf(roots[r * rows + b] + share[r] - values[b]);
      flows[r * rows + b] = flow;
      sum += flow;
    }
    for (int64_t b = batch; b < rows; ++b) flows[r * rows + b] = 0.f;
    sums[r] = sum;
  }
}
