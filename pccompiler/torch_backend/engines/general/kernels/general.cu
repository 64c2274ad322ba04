// Any circuit on a GPU: a list of instructions, level by level, for all rows.
//
// A value is m 2^e, as in general.c, stored as a pair for each slot and row. The way down computes
// flows for a root's flow of 1; they are multiplied by each row's own flow where they leave. A sum's
// unit keeps its flow over its value, on the scale of the node's operands: m_j 2^(e_j - top). If the
// value is so small on that scale that this might overflow, it keeps the flow, negated.
// Queries take the same way up, with maxima in place of sums if the best induced tree is asked for.
// Down they take the flows of leaves, or choose one operand of each sum that is reached.
// Compiled with WIDE (double rather than float), UB (units of a dense sum that a thread computes), JB
// (operands of a sum that a thread serves on the way down), MOST_WARPS (of a block that adds up
// gradients) and the macros OP_...
typedef int int32;
typedef long long int64;

#if WIDE
typedef double REAL;
typedef double2 PAIR;
#define BIAS 1023
#define LEAST (-960.)
#define LOWEST 2.2250738585072014e-308
#define UPWARDS 18446744073709551616.
#define HUGEST 1e300
#define MOST 990.
#else
typedef float REAL;
typedef float2 PAIR;
#define BIAS 127
#define LEAST (-80.f)
#define LOWEST 1.17549435e-38f
#define UPWARDS 18446744073709551616.f
#define HUGEST 1e38f
#define MOST 100.f
#endif
#define FEW 16
#define NONE ((REAL)__longlong_as_double(0xfff0000000000000ULL))
#ifndef WARP
#define WARP 32  // tests on a CPU use 1
#endif

struct Code {
  int32 op, units, out, first, count, table, place, variable;
};

struct Circuit {
  const Code *code;
  const int32 *items;
  const int32 *push;       // [instruction] number of the first flow that it passes on
  const int32 *columns;    // [table]
  const int64 *offsets;    // [table] where it starts in `tables`; of given ones, a unit's number
  const REAL *tables, *given;
  const int32 *work;       // [item of work][2]: instruction, and first unit or operand
  const int32 *levels;     // [level + 1] first item of work of each level
  const int32 *readers;    // [slot + 1] first reader of each slot
  const int32 *reads;      // slots of products, or -1 - number of a passed flow
  const int32 *owner;      // [slot] its instruction
  const int64 *key;        // random numbers
  int32 *state;            // [variable][batch]; -1: missing, -2: not a state
  PAIR *value;             // [slot][batch]
  REAL *top, *flow, *passed, *given_flow;  // [instruction][batch], [slot][batch], [number][batch]
  const REAL *root;        // [batch] flows of the root
  REAL *out;               // [batch]
  REAL *leaves;            // [leaf unit][batch] flows, unless it is null
  int32 *reached;          // [instruction][batch] the unit that is reached, or -1
  int32 *chosen;           // [variable][batch] the leaf unit that is reached
  int64 batch, valued;     // rows that have values: all, or one for all draws
  int32 slots, instructions, first_level, last_level, rows, counts, best;
};

static __device__ REAL power(REAL n) {
  if (n != n) return n;
  n = n > MOST ? MOST : n < -BIAS ? -BIAS : n;
#if WIDE
  return __longlong_as_double((int64)((int)n + BIAS) << 52);
#else
  return __int_as_float(((int)n + BIAS) << 23);
#endif
}

static __device__ PAIR split(REAL x, REAL e) {
  PAIR made;
#if WIDE
  const int64 raw = __double_as_longlong(x);
  const int exponent = (int)(raw >> 52) & 2047;
  made.x = __longlong_as_double((raw & 0xfffffffffffffLL) | 0x3ff0000000000000LL);
#else
  const int raw = __float_as_int(x), exponent = (raw >> 23) & 255;
  made.x = __int_as_float((raw & 0x7fffff) | 0x3f800000);
#endif
  made.y = e + (exponent == 2 * BIAS + 1 ? x : (REAL)(exponent - BIAS));
  if (exponent == 0) made.x = 0, made.y = NONE;
  return made;
}

// The same for weights, which may be smaller than normal numbers.
static __device__ PAIR split_weight(REAL w) {
  return w < LOWEST ? split(w * UPWARDS, -64) : split(w, 0);
}

static __device__ const REAL *weights_of(const Circuit &c, const Code &i) {
  return c.tables + c.offsets[i.table] + (int64)i.place * i.units * c.columns[i.table];
}

static __device__ int slot_of(const Circuit &c, const Code &i, int j, int u) {
  if (i.op == OP_CROSSED) return c.items[i.first + (int64)j * i.units + u];
  return c.items[i.first + j] + (i.op == OP_SUM ? 0 : u);
}

static __device__ PAIR leaf(const Circuit &c, const Code &i, int u, int64 row) {
  const int state = c.state[(int64)i.variable * c.batch + row], states = c.columns[i.table];
  const REAL *w = weights_of(c, i) + (int64)u * states;
  REAL found = 0;
  if (state >= 0 && state < states) found = w[state];
  else if (state == -1)
    for (int j = 0; j < states; ++j) found = !c.best ? found + w[j] : w[j] > found ? w[j] : found;
  return split_weight(found);
}

static __device__ PAIR given(const Circuit &c, const Code &i, int u, int64 row) {
  const int64 unit = c.offsets[i.table] + (int64)i.place * i.units + u;
  const double log = (double)c.given[unit * c.batch + row], binary = log * 1.4426950408889634;
  PAIR made;
  if (log - log == 0) {
    const double whole = floor(binary);
    made.x = (REAL)exp2(binary - whole), made.y = (REAL)whole;
  } else made.x = (REAL)log == NONE ? 0 : 1, made.y = (REAL)log;
  return made;
}

static __device__ PAIR product(const Circuit &c, const Code &i, int u, int64 row) {
  PAIR found = c.value[(int64)slot_of(c, i, 0, u) * c.batch + row];
  for (int j = 1; j < i.count; ++j) {
    const PAIR more = c.value[(int64)slot_of(c, i, j, u) * c.batch + row];
    found.x *= more.x, found.y += more.y;
    if (j % 64 == 0) found = split(found.x, found.y);
  }
  return split(found.x, found.y);
}

// A sum of weighted terms, each on its own scale. What rounding loses is added to the next term
// (Kahan 1965), so that sums of many terms are as exact as short ones.
static __device__ PAIR mix(const Circuit &c, const Code &i, int u, const REAL *w, int64 row) {
  REAL top = NONE, sum = 0, excess = 0;
  for (int j = 0; j < i.count; ++j) {
    if (w[j] == 0) continue;
    const REAL e = c.value[(int64)slot_of(c, i, j, u) * c.batch + row].y + split_weight(w[j]).y;
    top = e > top ? e : top;
  }
  if (top == NONE) top = 0;
  for (int j = 0; j < i.count; ++j) {
    if (w[j] == 0) continue;
    const PAIR one = split_weight(w[j]), below = c.value[(int64)slot_of(c, i, j, u) * c.batch + row];
    const REAL term = one.x * below.x * power(below.y + one.y - top) - excess, next = sum + term;
    excess = (next - sum) - term;
    sum = next;
  }
  return split(sum, top);
}

// The largest weighted term instead.
static __device__ PAIR best_mix(const Circuit &c, const Code &i, int u, const REAL *w, int64 row) {
  PAIR best;
  best.x = 0, best.y = NONE;
  for (int j = 0; j < i.count; ++j) {
    if (w[j] == 0) continue;
    const PAIR one = split_weight(w[j]), below = c.value[(int64)slot_of(c, i, j, u) * c.batch + row];
    const PAIR term = split(one.x * below.x, one.y + below.y);
    if (term.y > best.y || (term.y == best.y && term.x > best.x)) best = term;
  }
  return best;
}

// Some units of a dense sum.
template <bool BEST>
static __device__ void dense(const Circuit &c, const Code &i, int number, int first, int64 row) {
  const int32 *items = c.items + i.first;
  const REAL *w = weights_of(c, i) + (int64)first * i.count;
  REAL top = NONE, sum[UB];
  for (int j = 0; j < i.count; ++j) {
    const REAL e = c.value[(int64)items[j] * c.batch + row].y;
    top = e > top ? e : top;
  }
  if (top == NONE) top = 0;
  if (first == 0) c.top[(int64)number * c.batch + row] = top;
  const int most = i.units - first < UB ? i.units - first : UB;
#pragma unroll
  for (int r = 0; r < UB; ++r) sum[r] = 0;
  for (int j = 0; j < i.count; ++j) {
    const PAIR below = c.value[(int64)items[j] * c.batch + row];
    const REAL x = below.x * power(below.y - top);
#pragma unroll
    for (int r = 0; r < UB; ++r) {
      const REAL term = w[(int64)(r < most ? r : 0) * i.count + j] * x;
      sum[r] = !BEST ? sum[r] + term : term > sum[r] ? term : sum[r];
    }
  }
#pragma unroll
  for (int r = 0; r < UB; ++r) {
    if (r >= most) continue;
    PAIR made = split(sum[r], 0);
    if (made.y < LEAST)
      made = (BEST ? best_mix : mix)(c, i, first + r, w + (int64)r * i.count, row);
    else made.y += top;
    c.value[(int64)(i.out + first + r) * c.batch + row] = made;
  }
}

template <bool BEST> static __device__ void up_one(const Circuit &c, int item, int64 row) {
  const int number = c.work[2 * item], u = c.work[2 * item + 1];
  const Code i = c.code[number];
  PAIR made;
  if (i.op == OP_SUM && i.units > 1) {
    dense<BEST>(c, i, number, u, row);
    return;
  }
  if (i.op == OP_TABLE) made = leaf(c, i, u, row);
  else if (i.op == OP_INDICATOR) {
    const int state = c.state[(int64)i.variable * c.batch + row];
    made = split(state == u || state == -1 ? 1 : 0, 0);
  } else if (i.op == OP_GIVEN) made = given(c, i, u, row);
  else if (i.op == OP_PRODUCT || i.op == OP_CROSSED) made = product(c, i, u, row);
  else if (i.op == OP_SUM || i.op == OP_MIXTURE)
    made = (BEST ? best_mix : mix)(c, i, u, weights_of(c, i) + (int64)u * i.count, row);
  else __trap();
  c.value[(int64)(i.out + u) * c.batch + row] = made;
}

// States of variables, shape (variables, batch), from rows.
extern "C" __global__ void states(const REAL *x, int64 batch, int variables, int32 *state) {
  const int64 at = (int64)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= batch * variables) return;
  const int64 row = at % batch, v = at / batch;
  const REAL given = x[row * variables + v];
  const int whole = given >= 0 && given < 1e9 ? (int)given : -2;
  state[at] = given != given ? -1 : whole >= 0 && (REAL)whole != given ? -2 : whole;
}

// All work of the levels from the first to the last; if there are several, a block does it for its
// rows.
template <void (*each)(const Circuit &, int, int64)> static __device__ void walk(const Circuit &c) {
  const int lane = threadIdx.x % c.rows, part = threadIdx.x / c.rows, parts = blockDim.x / c.rows;
  const int64 row = (int64)blockIdx.x * c.rows + lane;
  for (int level = c.first_level; level < c.last_level; ++level) {
    if (row < c.batch)
      for (int64 item = c.levels[level] + (int64)blockIdx.y * parts + part;
           item < c.levels[level + 1]; item += (int64)gridDim.y * parts)
        each(c, (int)item, row);
    if (level + 1 < c.last_level) __syncthreads();
  }
}

extern "C" __global__ void __launch_bounds__(512) up(const Circuit c) { walk<up_one<false>>(c); }
extern "C" __global__ void __launch_bounds__(512) best_up(const Circuit c) {
  walk<up_one<true>>(c);
}

extern "C" __global__ void roots(const Circuit c) {
  const int64 row = (int64)blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= c.batch) return;
  const PAIR root = c.value[(int64)(c.slots - 1) * c.batch + row];
  c.out[row] = (REAL)(log((double)root.x) + (double)root.y * 0.6931471805599453);
}

// The flow of one unit, from its readers; a sum's unit keeps it over its value.
static __device__ void flow_of(const Circuit &c, int number, int u, int64 row) {
  const Code i = c.code[number];
  const int slot = i.out + u;
  REAL flow = slot == c.slots - 1 ? 1 : 0;
  for (int k = c.readers[slot]; k < c.readers[slot + 1]; ++k) {
    const int from = c.reads[k];
    flow += from >= 0 ? c.flow[from * c.batch + row] : c.passed[(int64)(-1 - from) * c.batch + row];
  }
  if (c.leaves && (i.op == OP_TABLE || i.op == OP_INDICATOR || i.op == OP_GIVEN))
    c.leaves[(int64)(i.first + u) * c.batch + row] = flow * c.root[row];
  else if (i.op == OP_GIVEN)
    c.given_flow[(c.offsets[i.table] + (int64)i.place * i.units + u) * c.batch + row] =
        flow * c.root[row];
  if (i.op == OP_SUM || i.op == OP_MIXTURE) {
    const PAIR value = c.value[(int64)slot * c.batch + row];
    if (!(value.x > 0)) flow = 0;
    else if (i.op == OP_SUM && i.units > 1) {
      const REAL far = c.top[(int64)number * c.batch + row] - value.y;
      flow = far > -LEAST ? -flow : flow / value.x * power(far);
    } else flow /= value.x;
  }
  c.flow[(int64)slot * c.batch + row] = flow;
}

// The flow through a weight that is on its own scale: ``left`` is the unit's flow over m. With a
// weight of 0 no flow passes, and this is the derivative instead.
static __device__ REAL share(REAL w, PAIR below, REAL left, REAL e) {
  if (left == 0) return 0;
  PAIR one;
  one.x = 1, one.y = 0;
  if (w != 0) one = split_weight(w);
  return left * (one.x * below.x) * power(below.y + one.y - e);
}

static __device__ REAL derivative(REAL found, REAL w) {
  if (w == 0) return found;
  found /= w;
  return found > HUGEST ? HUGEST : found < -HUGEST ? -HUGEST : found;
}

// The same for a unit whose flow was kept negated.
static __device__ REAL far_share(const Circuit &c, REAL w, int slot, PAIR below, REAL kept,
                                 int64 row) {
  const PAIR value = c.value[(int64)slot * c.batch + row];
  return share(w, below, -kept / value.x, value.y);
}

// Flows that some operands of a sum get, or one operand of a mixture's unit.
static __device__ void pass_on(const Circuit &c, int number, int first, int64 row) {
  const Code i = c.code[number];
  const REAL *w = weights_of(c, i);
  REAL *to = c.passed + (int64)c.push[number] * c.batch + row;
  if (i.op == OP_MIXTURE || i.units == 1) {
    const int last = first + JB < i.count * i.units ? first + JB : i.count * i.units;
    for (int at = first; at < last; ++at) {
      const int j = at / i.units, u = at % i.units;
      const PAIR below = c.value[(int64)slot_of(c, i, j, u) * c.batch + row];
      const int64 slot = (int64)(i.out + u) * c.batch + row;
      const REAL weight = w[(int64)u * i.count + j];
      to[at * c.batch] = weight == 0 ? 0 : share(weight, below, c.flow[slot], c.value[slot].y);
    }
    return;
  }
  REAL sum[JB];
#pragma unroll
  for (int r = 0; r < JB; ++r) sum[r] = 0;
  const int most = i.count - first < JB ? i.count - first : JB;
  int far = 0;
  for (int u = 0; u < i.units; ++u) {
    const REAL kept = c.flow[(int64)(i.out + u) * c.batch + row], left = kept > 0 ? kept : 0;
    far |= kept < 0;
#pragma unroll
    for (int r = 0; r < JB; ++r)
      sum[r] += w[(int64)u * i.count + first + (r < most ? r : 0)] * left;
  }
  const REAL top = c.top[(int64)number * c.batch + row];
#pragma unroll
  for (int r = 0; r < JB; ++r) {
    if (r >= most) continue;
    const PAIR below = c.value[(int64)c.items[i.first + first + r] * c.batch + row];
    REAL found = sum[r] * below.x * power(below.y - top);
    for (int u = 0; far && u < i.units; ++u) {
      const REAL kept = c.flow[(int64)(i.out + u) * c.batch + row];
      const REAL weight = w[(int64)u * i.count + first + r];
      if (kept < 0 && weight != 0) found += far_share(c, weight, i.out + u, below, kept, row);
    }
    to[(int64)(first + r) * c.batch] = found;
  }
}

// An item of work with a negative second number passes flows on, in a level of its own after the one
// that computes them.
static __device__ void down_one(const Circuit &c, int item, int64 row) {
  const int number = c.work[2 * item], at = c.work[2 * item + 1];
  if (at >= 0) flow_of(c, number, at, row);
  else pass_on(c, number, -1 - at, row);
}

extern "C" __global__ void __launch_bounds__(512) down(const Circuit c) { walk<down_one>(c); }

// A positive number as x 2^e with x in [1, 2).
static __device__ double split_one(double x, double &e) {
  const bool tiny = x < 2.2250738585072014e-308;
  const int64 raw = __double_as_longlong(tiny ? x * 18446744073709551616. : x);
  e += (double)((int)(raw >> 52) - 1023 - (tiny ? 64 : 0));
  return __longlong_as_double((raw & 0xfffffffffffffLL) | 0x3ff0000000000000LL);
}

// x 2^by for x in [1, 2) and a whole number that is not positive; 0 if that is far below 1.
static __device__ double lowered(double x, double by) {
  if (by < -1000) return 0;
  return __longlong_as_double(__double_as_longlong(x) + (int64)by * (1LL << 52));
}

// One term of a sum, as split_one splits it; 0 if it is zero.
static __device__ double term(REAL w, PAIR below, double &e) {
  e = (double)below.y;
  return w > 0 && below.x > 0 ? split_one((double)w * (double)below.x, e) : 0;
}

// A number in [0, 1): the output of splitmix64 (Steele, Lea and Flood 2014) after ``at`` steps.
static __device__ double uniform(int64 key, int64 at) {
  unsigned long long z = (unsigned long long)key + (at + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return (double)((z ^ (z >> 31)) >> 11) * 1.1102230246251565e-16;
}

// The largest term of a unit, or one drawn in proportion to its size. ``at``: the row of values.
static __device__ int choose(const Circuit &c, const Code &i, int number, int u, int64 at, int64 row) {
  const REAL *w = weights_of(c, i) + (int64)u * i.count;
  double most = 0, top = -1e300, all = 0, e;
  int best = 0;
  for (int j = 0; j < i.count; ++j) {
    const double x = term(w[j], c.value[(int64)slot_of(c, i, j, u) * c.valued + at], e);
    if (x > 0 && (e > top || (e == top && x > most))) best = j, most = x, top = e;
  }
  if (c.best) return best;
  for (int pass = 0; pass < 2; ++pass) {
    double left = all * uniform(*c.key, row * c.instructions + number);
    for (int j = 0; j < i.count; ++j) {
      const double x = term(w[j], c.value[(int64)slot_of(c, i, j, u) * c.valued + at], e);
      if (!(x > 0)) continue;
      const double scaled = lowered(x, e - top);
      if (pass == 0) all += scaled, best = j;
      else if ((left -= scaled) < 0) return j;
    }
  }
  return best;
}

// Passes on that a node is reached: to all factors of a product, to one operand of a sum.
static __device__ void choose_one(const Circuit &c, int item, int64 row) {
  const int number = c.work[2 * item];
  const Code i = c.code[number];
  const int u = i.out + i.units == c.slots ? i.units - 1 : c.reached[number * c.batch + row];
  if (u < 0) return;
  int first = 0, last = i.count;
  if (i.op == OP_TABLE || i.op == OP_INDICATOR || i.op == OP_GIVEN) {
    c.chosen[i.variable * c.batch + row] = i.first + u;
    return;
  }
  if (i.op == OP_SUM || i.op == OP_MIXTURE) {
    first = choose(c, i, number, u, c.valued == 1 ? 0 : row, row);
    last = first + 1;
  }
  for (int j = first; j < last; ++j) {
    const int slot = slot_of(c, i, j, u), to = c.owner[slot];
    c.reached[to * c.batch + row] = slot - c.code[to].out;
  }
}

extern "C" __global__ void __launch_bounds__(512) choose_down(const Circuit c) {
  walk<choose_one>(c);
}

template <class Number> static __device__ Number across(Number sum) {
  for (int step = WARP / 2; step; step /= 2) sum += __shfl_xor_sync(0xffffffff, sum, step);
  return sum;
}

// Gradients of sums' weights: a block for UB / 2 units and JB operands of a weight, over all its
// users and all rows. ``blocks``: [item of work][4]: a user, its first unit, its first operand, and
// the weight's number among all; ``users``: the users of each weight.
extern "C" __global__ void sum_gradients(const Circuit c, const int32 *blocks,
                                         const int32 *starts, const int32 *users, REAL *grads) {
  __shared__ REAL parts[MOST_WARPS][UB / 2][JB], kept[UB / 2][JB][MOST_WARPS * 32];
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
  const int32 *block = blocks + 4 * (int64)blockIdx.x;
  const Code one = c.code[block[0]];
  const int u0 = block[1], j0 = block[2];
  const bool alone = one.op == OP_MIXTURE || one.units == 1;
  const int us = alone ? 1 : min(one.units - u0, UB / 2), js = min(one.count - j0, JB);
  REAL sum[UB / 2][JB];
#pragma unroll
  for (int r = 0; r < UB / 2; ++r)
#pragma unroll
    for (int k = 0; k < JB; ++k) sum[r][k] = 0;
  const REAL *w = weights_of(c, one) + (int64)u0 * one.count + j0;
  // Sums over a few users each are added up, so that rounding does not grow with all users.
  const int before = starts[block[3]], after = starts[block[3] + 1];
  for (int user = before; user < after; ++user) {
    if (user % FEW == 0) {
#pragma unroll
      for (int r = 0; r < UB / 2; ++r)
#pragma unroll
        for (int k = 0; k < JB; ++k) {
          const REAL more = user - before < FEW ? 0 : kept[r][k][threadIdx.x];
          kept[r][k][threadIdx.x] = more + sum[r][k];
          sum[r][k] = 0;
        }
    }
    const Code i = c.code[users[user]];
    for (int64 row = threadIdx.x; row < c.batch; row += blockDim.x) {
      const REAL root = c.root[row];
      REAL left[UB / 2], x[JB], scale;
      bool far = false;
#pragma unroll
      for (int r = 0; r < UB / 2; ++r) {
        const REAL kept = r < us ? c.flow[(int64)(i.out + u0 + r) * c.batch + row] : 0;
        far |= kept < 0;
        left[r] = kept > 0 ? kept * root : 0;
      }
      if (alone) scale = left[0] == 0 ? 0 : c.value[(int64)(i.out + u0) * c.batch + row].y;
      else scale = c.top[(int64)users[user] * c.batch + row];
#pragma unroll
      for (int k = 0; k < JB; ++k) {
        if (k >= js) continue;
        const PAIR below = c.value[(int64)slot_of(c, i, j0 + k, u0) * c.batch + row];
        if (alone) {
          x[k] = 0;
          sum[0][k] += share(w[k], below, left[0], scale);
          continue;
        }
        x[k] = below.x * power(below.y - scale);
        for (int r = 0; far && r < us; ++r) {
          const REAL kept = c.flow[(int64)(i.out + u0 + r) * c.batch + row];
          const REAL weight = w[(int64)r * one.count + k];
          if (kept < 0)
            sum[r][k] += root * derivative(
                far_share(c, weight, i.out + u0 + r, below, kept, row), weight);
        }
      }
#pragma unroll
      for (int k = 0; k < JB; ++k)
#pragma unroll
        for (int r = 0; r < UB / 2; ++r)
          if (k < js) sum[r][k] += left[r] * x[k];
    }
  }
  const bool flushed = after > before && (after - 1) / FEW * FEW >= before;
#pragma unroll
  for (int r = 0; r < UB / 2; ++r)
#pragma unroll
    for (int k = 0; k < JB; ++k) {
      if (flushed) sum[r][k] += kept[r][k][threadIdx.x];
      const REAL all = across(sum[r][k]);
      if (lane == 0) parts[warp][r][k] = all;
    }
  __syncthreads();
  const int64 start = c.offsets[one.table] + one.place * (int64)one.units * one.count;
  for (int each = threadIdx.x; each < UB / 2 * JB; each += blockDim.x) {
    const int r = each / JB, k = each % JB;
    if (r >= us || k >= js) continue;
    const int64 at = start + (int64)(u0 + r) * one.count + j0 + k;
    REAL all = 0;
    for (int w = 0; w < warps; ++w) all += parts[w][r][k];
    const REAL weight = c.tables[at];
    if (!alone) grads[at] += c.counts ? all * weight : all;
    else grads[at] += !c.counts ? derivative(all, weight) : weight == 0 ? 0 : all;
  }
}

// Rows in the order of each variable's states: ``order`` [variable][batch], and ``ends``, where the
// rows of each state end; state ``most`` stands for missing values. One block for each variable.
extern "C" __global__ void sorted(const int32 *state, int64 batch, int most, int32 *ends,
                                  int32 *order) {
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
  const int32 *mine = state + (int64)blockIdx.x * batch;
  int32 *end = ends + (int64)blockIdx.x * (most + 1);
  for (int s = warp; s <= most; s += warps) {
    int found = 0;
    for (int64 row = lane; row < batch; row += WARP) found += mine[row] == (s == most ? -1 : s);
    found = across(found);
    if (lane == 0) end[s] = found;
  }
  __syncthreads();
  if (threadIdx.x == 0)
    for (int s = 1; s <= most; ++s) end[s] += end[s - 1];
  __syncthreads();
  for (int s = warp; s <= most; s += warps) {
    int at = s ? end[s - 1] : 0;
    for (int64 first = 0; first < batch; first += WARP) {
      const int64 row = first + lane;
      const bool here = row < batch && mine[row] == (s == most ? -1 : s);
      const unsigned all = __ballot_sync(0xffffffff, here);
      if (here) order[blockIdx.x * batch + at + __popc(all & ((1u << lane) - 1))] = (int32)row;
      at += __popc(all);
    }
  }
}

// Gradients of leaf tables: ``lanes`` threads for each entry. ``weights``: [weight][2]: a user and
// the weight's number; ``before``: where the entries of each weight start among all entries.
extern "C" __global__ void leaf_gradients(const Circuit c, const int32 *weights, const int64 *before,
                                          int number, const int32 *starts, const int32 *users,
                                          const int32 *ends, const int32 *order, int most,
                                          int lanes, REAL *grads) {
  const int64 thread = (int64)blockIdx.x * blockDim.x + threadIdx.x, entries = before[number];
  const bool real = thread / lanes < entries;  // others take part in sums across lanes
  const int64 number_of_entry = real ? thread / lanes : entries - 1;
  const int lane = (int)(thread % lanes);
  int low = 0, high = number;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (before[middle] <= number_of_entry) low = middle;
    else high = middle;
  }
  const Code one = c.code[weights[2 * low]];
  const int states = c.columns[one.table], entry = (int)(number_of_entry - before[low]);
  const int u = entry / states, state = entry % states;
  const int64 at = c.offsets[one.table] + (int64)one.place * one.units * states + entry;
  const REAL w = c.tables[at];
  double seen = 0, missing = 0;
  for (int user = starts[weights[2 * low + 1]]; user < starts[weights[2 * low + 1] + 1]; ++user) {
    const Code i = c.code[users[user]];
    const int32 *end = ends + (int64)i.variable * (most + 1);
    const int32 *rows = order + (int64)i.variable * c.batch;
    const REAL *flow = c.flow + (int64)(i.out + u) * c.batch;
    for (int k = (state ? end[state - 1] : 0) + lane; k < end[state]; k += lanes)
      seen += (double)(flow[rows[k]] * c.root[rows[k]]);
    if (!c.counts)
      for (int k = (most ? end[most - 1] : 0) + lane; k < end[most]; k += lanes)
        missing += (double)(flow[rows[k]] * c.root[rows[k]]);
  }
  if (lanes > 1) seen = across(seen), missing = across(missing);
  if (!real || lane) return;
  if (c.counts) {
    grads[at] += w > 0 ? (REAL)seen : 0;
    return;
  }
  REAL all = 0;
  if (missing != 0)
    for (int j = 0; j < states; ++j) all += c.tables[at - state + j];
  grads[at] += (REAL)((w > 0 ? seen / w : 0) + (all > 0 ? missing / all : 0));
}
