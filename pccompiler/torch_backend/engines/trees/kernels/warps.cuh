// A warp holds regions of trees, one per lane. Row s of the batch is at level l in step s + l going
// up and in step s + 2 DEPTH + 1 - l going down: lanes read what others wrote before. All lanes
// work in every step; rows beyond the batch read valid memory and get no flow.
//
// Shared memory of a warp, in columns of 32 lanes:
//   ring    SLOTS records: on the way up v[K] and the exponent, on the way down v[K] and p[K],
//           which the flow g[K] replaces once it is known
//   leaf    for each side STATES tables of v[K] (then a zero exponent on the way up)
//   pieces  for each side AHEAD records of WIDE numbers a lane: v[K], then the exponent, if PIECES
//   inflow  on the way down AHEAD records of f[K] for lanes without a parent: eight lanes a block,
//           in columns of 8 AHEAD
#define WARP 32
#define FIELD(f) table[((f) * warps + warp) * WARP + lane]
#define WIDE ((K + 4) & ~3)  // floats of a piece's value: K units, then the exponent
#define STATES (MISSING ? 3 : 2)
#define AHEAD 4
#define COMPONENTS (K * K + 4 * K)
#define UP_RECORD (K + 1)
#define UP_SLOTS (DEPTH + 1)
#define DOWN_RECORD (2 * K)
#define SLOTS (2 * DEPTH + 1)
#define BLOCKS ((ENTRIES + 7) / 8)
#define BEST (QUERY == QUERY_BEST)  // the largest terms take the place of sums
#define CHOOSES (BEST || QUERY == QUERY_DRAWS)
#define ROUNDS ((ENTRIES * K + WARP - 1) / WARP)  // to fetch the flows of a row

struct Lane {
  int level, parent, piece, root, entry, role;
  int kind[2], column[2], variable[2], slot[2];
};

__device__ __forceinline__ Lane read_lane(const int* __restrict__ table, int warps, int warp,
                                          int lane) {
  Lane l;
  l.level = FIELD(FIELD_LEVEL); l.parent = FIELD(FIELD_PARENT); l.piece = FIELD(FIELD_PIECE);
  l.root = FIELD(FIELD_ROOT); l.entry = FIELD(FIELD_ENTRY); l.role = FIELD(FIELD_ROLE);
#pragma unroll
  for (int side = 0; side < 2; ++side) {
    l.kind[side] = FIELD(FIELD_KIND + OPERAND * side);
    l.column[side] = FIELD(FIELD_COLUMN + OPERAND * side);
    l.variable[side] = FIELD(FIELD_SOURCE + OPERAND * side);
    l.slot[side] = FIELD(FIELD_SLOT + OPERAND * side);
  }
  return l;
}

// weights: [COMPONENTS][lanes], component u K + j of a region, then 2 u + state of its leaves
__device__ __forceinline__ void read_weights(const Lane& l, const float* __restrict__ weights,
                                             long lanes, float w[K][K]) {
#pragma unroll
  for (int u = 0; u < K; ++u)
#pragma unroll
    for (int j = 0; j < K; ++j) {
      // units u > 0 of a root get no flow
      w[u][j] = l.role == ROLE_IDENTITY && u != j ? 0.f : 1.f;
      if (l.role == ROLE_SQUARE || (l.role == ROLE_ROOT && u == 0))
        w[u][j] = weights[(u * K + j) * lanes];
    }
}

// Leaf tables of a warp: [side][state][RECORD][WARP]; columns are chosen so that lanes reading
// leaves and lanes reading rings use different banks. Ones if there is no second operand.
template <int RECORD>
__device__ __forceinline__ void write_leaves(const Lane& l, const float* __restrict__ weights,
                                             long lanes, float* at) {
#pragma unroll
  for (int side = 0; side < 2; ++side) {
    if (l.kind[side] != CHILD_LEAF && l.kind[side] != CHILD_NONE) continue;
#pragma unroll
    for (int u = 0; u < RECORD; ++u) {
      float value[3] = {1.f, 1.f, 1.f};
      if (u >= K) value[0] = value[1] = value[2] = 0.f;
      else if (l.kind[side] == CHILD_LEAF) {
        value[0] = weights[(K * K + side * 2 * K + 2 * u) * lanes];
        value[1] = weights[(K * K + side * 2 * K + 2 * u + 1) * lanes];
        value[2] = BEST ? fmaxf(value[0], value[1]) : value[0] + value[1];
      }
#pragma unroll
      for (int state = 0; state < STATES; ++state)
        at[((side * STATES + state) * RECORD + u) * WARP + l.column[side]] = value[state];
    }
  }
}

// 16 states of a variable from row t0 - delay on, two bits per row; codes start and end with 16
// empty rows.
__device__ __forceinline__ unsigned sixteen(const unsigned* __restrict__ at, int t0, int delay) {
  return __funnelshift_rc(at[t0 >> 4], at[(t0 >> 4) + 1], 32 - 2 * delay);
}

// Between stages: [piece][row][WIDE].
__device__ __forceinline__ long piece_at(int piece, int batch, int first) {
  return ((long)max(piece, 0) * batch + first) * WIDE;
}

__device__ __forceinline__ void write_wide(float* at, const float v[K], float last) {
  float flat[WIDE];
#pragma unroll
  for (int u = 0; u < WIDE; ++u) flat[u] = u < K ? v[u] : last;
#pragma unroll
  for (int i = 0; i < WIDE / 4; ++i)
    ((float4*)at)[i] =
        make_float4(flat[4 * i], flat[4 * i + 1], flat[4 * i + 2], flat[4 * i + 3]);
}

__device__ __forceinline__ unsigned place(const void* shared) {
  return (unsigned)__cvta_generic_to_shared(shared);
}

// Copies a number to shared memory asynchronously; zero if not wanted.
__device__ __forceinline__ void fetch(unsigned to, const float* from, bool wanted) {
  int bytes = wanted ? 4 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(bytes));
}
__device__ __forceinline__ void fetch4(unsigned to, const float* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from));
}
__device__ __forceinline__ void fetched() { asm volatile("cp.async.commit_group;"); }
__device__ __forceinline__ void wait() {  // for all but the latest AHEAD - 2
  asm volatile("cp.async.wait_group %0;" ::"n"(AHEAD - 2) : "memory");
}

__device__ __forceinline__ int normalize(float p[K]) {  // scales the largest to [1, 2)
  float top = p[0];
#pragma unroll
  for (int u = 1; u < K; ++u) top = fmaxf(top, p[u]);
  int bits = __float_as_int(top) & 0x7f800000;
  float scale = __int_as_float(0x7f000000 - bits);
#pragma unroll
  for (int u = 0; u < K; ++u) p[u] *= scale;
  return (bits >> 23) - 127;
}

__device__ __forceinline__ void apply(const float w[K][K], const float p[K], float v[K]) {
#pragma unroll
  for (int u = 0; u < K; ++u) {
    float x = w[u][0] * p[0];
#pragma unroll
    for (int j = 1; j < K; ++j) x = BEST ? fmaxf(w[u][j] * p[j], x) : fmaf(w[u][j], p[j], x);
    v[u] = x;
  }
}

__device__ __forceinline__ float reciprocal(float x) {
  float out;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}

__device__ __forceinline__ void next(int& offset, int record, int slots) {
  offset += record * WARP * 4;
  if (offset == record * slots * WARP * 4) offset = 0;
}

// One operand of a lane: from a ring, from the leaf tables, or from another piece.
template <int RECORD>
struct Operand {
  const char* base;
  const float* source;
  unsigned target;
  int kind;

  __device__ __forceinline__ void open(const Lane& l, int side, const float* ring,
                                       const float* leaf, const float* buffer, int lane,
                                       const float* pieces, int first, int batch) {
    kind = l.kind[side];
    const float* at = kind == CHILD_LANE ? ring : leaf + side * STATES * RECORD * WARP;
    at += l.column[side];
#if PIECES
    buffer += (side * AHEAD * WARP + lane) * WIDE;
    if (kind == CHILD_PIECE) at = buffer;
    target = place(buffer);
    source = pieces + piece_at(l.variable[side], batch, first);
#endif
    base = (const char*)at;
  }
  __device__ __forceinline__ void fetch_row(int s, int rows) {
#if PIECES
    if (kind != CHILD_PIECE) return;
    const float* from = source + min(max(s, 0), rows - 1) * WIDE;
    const unsigned to = target + (s & (AHEAD - 1)) * (WIDE * WARP * 4);
#pragma unroll
    for (int i = 0; i < WIDE / 4; ++i) fetch4(to + 16 * i, from + 4 * i);
#endif
  }
  // Multiplies p by the operand's value, and returns its exponent. states: the row's state in the
  // two lowest bits.
  __device__ __forceinline__ int times(int offset, int s, unsigned states, float p[K]) const {
#if LEAVES
    int at = kind == CHILD_LANE ? offset : (int)(states & 3) * (RECORD * WARP * 4);
#else
    int at = kind == CHILD_LANE ? offset : 0;
#endif
#if PIECES
    if (kind == CHILD_PIECE) {
      const float4* from = (const float4*)(base + (s & (AHEAD - 1)) * (WIDE * WARP * 4));
      float flat[WIDE];
#pragma unroll
      for (int i = 0; i < WIDE / 4; ++i) {
        float4 q = from[i];
        flat[4 * i] = q.x; flat[4 * i + 1] = q.y; flat[4 * i + 2] = q.z; flat[4 * i + 3] = q.w;
      }
#pragma unroll
      for (int u = 0; u < K; ++u) p[u] *= flat[u];
      return __float_as_int(flat[K]);
    }
#endif
    const float* from = (const float*)(base + at);
#pragma unroll
    for (int u = 0; u < K; ++u) p[u] *= from[u * WARP];
    return RECORD == K + 1 ? __float_as_int(from[K * WARP]) : 0;
  }
};

// A number in [0, 1): the output of splitmix64 (Steele, Lea and Flood 2014) after ``at`` steps.
__device__ __forceinline__ double uniform(long key, long at) {
  unsigned long z = (unsigned long)key + (at + 1) * 0x9e3779b97f4a7c15UL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9UL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebUL;
  return (double)((z ^ (z >> 31)) >> 11) * 1.1102230246251565e-16;
}

// Of random numbers: three for each lane (its region and two leaves), and one for the root.
__device__ __forceinline__ long number_at(long row, long lanes) { return row * (3 * lanes + 1); }

// The largest of some terms, or one drawn in proportion to its size by a number in [0, 1).
template <int N>
__device__ __forceinline__ int pick(const float (&terms)[N], double given) {
  int found = 0;
  float top = terms[0];
  double all = terms[0];
#pragma unroll
  for (int j = 1; j < N; ++j) {
    all += terms[j];
    if (terms[j] > (BEST ? top : 0.f)) { top = terms[j]; found = j; }
  }
  if (BEST) return found;
  double left = given * all;
#pragma unroll
  for (int j = N - 1; j > 0; --j) {  // the last terms come first
    left -= terms[j];
    if (left < 0.) return j;
  }
  return terms[0] > 0.f ? 0 : found;
}
