// Flows of regions, from roots to leaves, and gradients of weights; values are computed again.
// For posteriors, found has the flows of leaves' states, [slot][row][2]. For draws and best trees,
// flows are the chosen units (-1: none), and found has the leaf unit of each variable, [variable][row],
// among all units of input layers; inputs: the input row of each slot.
extern "C" __global__ void __launch_bounds__(WARPS * WARP) trees_down(
    const int* __restrict__ table, int warps, int first_lane, long lanes,
    const unsigned* __restrict__ codes, int words, const float* __restrict__ weights,
    const float* __restrict__ pieces, const float* __restrict__ root_flows,
    float* __restrict__ piece_flows, float* __restrict__ found, int batch, int part
#if QUERY
    , const int* __restrict__ inputs, const long* __restrict__ key
#endif
    ) {
  extern __shared__ float shared[];
  const int lane = threadIdx.x % WARP, warp = blockIdx.x * WARPS + threadIdx.x / WARP;
  if (warp >= warps) return;
  float* ring = shared + (threadIdx.x / WARP) *
                (SLOTS * DOWN_RECORD + (2 * STATES + BLOCKS) * K + PIECES * 2 * AHEAD * WIDE) * WARP;
  float* leaf = ring + SLOTS * DOWN_RECORD * WARP;
  float* buffer = leaf + 2 * STATES * K * WARP;
  float* inflow = buffer + PIECES * 2 * AHEAD * WIDE * WARP;
  const Lane l = read_lane(table, warps, warp, lane);
  const int first = blockIdx.y * part, rows = min(part, batch - first);
  weights += first_lane + warp * WARP + lane;
  float w[K][K], d[K][K];
  read_weights(l, weights, lanes, w);
  write_leaves<K>(l, weights, lanes, leaf);
#pragma unroll
  for (int u = 0; u < K; ++u)
#pragma unroll
    for (int j = 0; j < K; ++j) d[u][j] = 0.f;
#if LEAVES
  float ones[2][K];
#pragma unroll
  for (int u = 0; u < K; ++u) ones[0][u] = ones[1][u] = 0.f;
#if MISSING
  float gone[2][K];
#pragma unroll
  for (int u = 0; u < K; ++u) gone[0][u] = gone[1][u] = 0.f;
#endif
#endif
  const int level = max(l.level, 0), delay = SLOTS - level;
  for (int i = 0; i < SLOTS * DOWN_RECORD; ++i)
    ring[i * WARP + lane] = i % DOWN_RECORD < K ? 1.f : 0.f;  // gives no flow
  for (int i = 0; i < BLOCKS * K; ++i) inflow[i * WARP + lane] = 0.f;
  Operand<K> one, two;
  one.open(l, 0, ring, leaf, buffer, lane, pieces, first, batch);
  two.open(l, 1, ring, leaf, buffer, lane, pieces, first, batch);
#if LEAVES
  const int of0 = l.kind[0] == CHILD_LEAF ? l.variable[0] : 0;
  const int of1 = l.kind[1] == CHILD_LEAF ? l.variable[1] : 0;
  const unsigned* codes0 = codes + (long)of0 * words + (first >> 4);
  const unsigned* codes1 = codes + (long)of1 * words + (first >> 4);
#endif
  // Where flows come from: the parent's ring, or the flows of pieces and roots in memory.
  const bool starts = l.parent < 0;
  const char* above = (const char*)(starts ? inflow + (l.entry / 8) * K * WARP + l.entry % 8
                                           : ring + K * WARP + l.parent);
  // In each round, a lane fetches one unit of one lane without a parent.
  const unsigned parentless = __ballot_sync(0xffffffffu, starts && l.level >= 0);
  const float* source[ROUNDS];
  unsigned target[ROUNDS];
  int stride[ROUNDS], late[ROUNDS];
#pragma unroll
  for (int i = 0; i < ROUNDS; ++i) {
    const int entry = (i * WARP + lane) / K, unit = (i * WARP + lane) % K;
    const int from = __fns(parentless, 0, entry + 1) & 31;
    const int piece = __shfl_sync(0xffffffffu, l.piece, from);
    const int root = __shfl_sync(0xffffffffu, l.root, from);
    late[i] = __shfl_sync(0xffffffffu, delay, from);
    stride[i] = root >= 0 ? 1 : WIDE;
    source[i] = root >= 0 ? root_flows + (long)root * batch + first
                          : piece_flows + piece_at(piece, batch, first) + unit;
    target[i] = place(inflow + (entry / 8) * K * WARP + unit * WARP + entry % 8);
    if (entry >= __popc(parentless) || (root >= 0 && unit > 0)) stride[i] = 0;  // nothing to fetch
  }
  auto fetch_ahead = [&](int time) {
#pragma unroll
    for (int i = 0; i < ROUNDS; ++i) {
      const int row = time - late[i];
      const bool valid = (unsigned)row < (unsigned)rows;
      const float* from = source[i] + (valid ? row * stride[i] : 0);
      if (stride[i] > 0) fetch(target[i] + (row & (AHEAD - 1)) * 32, from, valid);
    }
    one.fetch_row(time - level, rows);
    two.fetch_row(time - level, rows);
    fetched();
  };
  __syncwarp();
  for (int i = 0; i < AHEAD - 1; ++i) fetch_ahead(i);
  char* own = (char*)(ring + lane);
  int offset = ((2 * SLOTS - level) % SLOTS) * DOWN_RECORD * WARP * 4;
  int back = ((2 * SLOTS - delay) % SLOTS) * DOWN_RECORD * WARP * 4;
  for (int t0 = 0; t0 < rows + SLOTS; t0 += 16) {
#if LEAVES
    unsigned states0 = sixteen(codes0, t0, level), states1 = sixteen(codes1, t0, level);
    unsigned later0 = sixteen(codes0, t0, delay), later1 = sixteen(codes1, t0, delay);
#else
    unsigned states0 = 0, states1 = 0;
#endif
    const int stop = min(16, rows + SLOTS - t0);
#pragma unroll 2
    for (int i = 0; i < stop; ++i) {
      const int t = t0 + i, s = t - level;
      wait();
      __syncwarp();
      // A row on the way down.
      const char* from = above + (starts ? ((t - delay) & (AHEAD - 1)) * 32 : back);
      float f[K], g[K], m[K];
#pragma unroll
      for (int u = 0; u < K; ++u) m[u] = *(const float*)(own + back + (K + u) * WARP * 4);
#if CHOOSES
      int unit = (int)*(const float*)from;
      const int r = t - delay;
      const bool here = (unsigned)r < (unsigned)rows && l.level >= 0 && unit >= 0;
      const long number = number_at(first + r, lanes) + 3 * (first_lane + warp * WARP + lane);
      if (here && l.role != ROLE_IDENTITY) {
        float terms[K];
#pragma unroll
        for (int j = 0; j < K; ++j) {
          terms[j] = 0.f;
#pragma unroll
          for (int u = 0; u < K; ++u)
            if (u == unit) terms[j] = w[u][j] * m[j];
        }
        unit = pick(terms, BEST ? 0. : uniform(*key, number));
      }
#else
#pragma unroll
      for (int u = 0; u < K; ++u) {
        f[u] = *(const float*)(from + u * WARP * 4);
        const float value = *(const float*)(own + back + u * WARP * 4);
        // tables may hold zeros
        f[u] = ((COUNTS || QUERY) && value <= 0.f) ? 0.f : f[u] * reciprocal(value);
      }
#endif
      // A row on the way up.
      float p[K], v[K];
#pragma unroll
      for (int u = 0; u < K; ++u) p[u] = 1.f;
      one.times(offset, s, states0, p);
      two.times(offset, s, states1, p);
      normalize(p);
      apply(w, p, v);
#if CHOOSES
#pragma unroll
      for (int j = 0; j < K; ++j) g[j] = (float)unit;
      *(float*)(own + back + K * WARP * 4) = g[0];
#else
#pragma unroll
      for (int u = 0; u < K; ++u)
#pragma unroll
        for (int j = 0; j < K; ++j) {
          d[u][j] = fmaf(f[u], m[j], d[u][j]);
          g[j] = u == 0 ? f[u] * w[u][j] : fmaf(f[u], w[u][j], g[j]);
        }
#pragma unroll
      for (int j = 0; j < K; ++j) {
        g[j] *= m[j];
        *(float*)(own + back + (K + j) * WARP * 4) = g[j];
      }
#endif
#pragma unroll
      for (int u = 0; u < K; ++u) {  // after the reads above: the slot may be the same
        *(float*)(own + offset + u * WARP * 4) = v[u];
        *(float*)(own + offset + (K + u) * WARP * 4) = p[u];
      }
#if LEAVES
#if CHOOSES
      if (here)
#pragma unroll
        for (int side = 0; side < 2; ++side) {
          if (l.kind[side] != CHILD_LEAF) continue;
          const unsigned seen = side ? later1 : later0;
          int state = seen & 1;
          if (seen & 2) {
            const float* at = leaf + (side * STATES * K + unit) * WARP + l.column[side];
            const float terms[2] = {at[0], at[K * WARP]};
            state = pick(terms, BEST ? 0. : uniform(*key, number + 1 + side));
          }
          ((int*)found)[(long)l.variable[side] * batch + first + r] = 2 * inputs[l.slot[side]] + state;
        }
#elif QUERY
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        const int row = t - delay;
        if (l.kind[side] != CHILD_LEAF || (unsigned)row >= (unsigned)rows) continue;
        const unsigned seen = side ? later1 : later0;
        float2 share = make_float2(0.f, 0.f);
#pragma unroll
        for (int u = 0; u < K; ++u) {
          const float* at = leaf + (side * STATES * K + u) * WARP + l.column[side];
          const float zero = seen & 2 ? at[0] : seen & 1 ? 0.f : 1.f;
          const float one = seen & 2 ? at[K * WARP] : seen & 1 ? 1.f : 0.f;
          const float ratio = zero + one > 0.f ? g[u] * reciprocal(zero + one) : 0.f;
          share.x = fmaf(ratio, zero, share.x);
          share.y = fmaf(ratio, one, share.y);
        }
        ((float2*)found)[(long)l.slot[side] * batch + first + row] = share;
      }
#else
#pragma unroll
      for (int u = 0; u < K; ++u) {
        if (later0 & 1) ones[0][u] += g[u];
        if (later1 & 1) ones[1][u] += g[u];
#if MISSING
        if (later0 & 2) gone[0][u] += g[u];
        if (later1 & 2) gone[1][u] += g[u];
#endif
      }
#endif
      states0 >>= 2; states1 >>= 2; later0 >>= 2; later1 >>= 2;
#endif
#if PIECES
      const int to = t - delay;
#pragma unroll
      for (int side = 0; side < 2; ++side)
        if (l.kind[side] == CHILD_PIECE && (unsigned)to < (unsigned)rows)
          write_wide(piece_flows + piece_at(l.variable[side], batch, first + to), g, 0.f);
#endif
      next(offset, DOWN_RECORD, SLOTS);
      next(back, DOWN_RECORD, SLOTS);
      fetch_ahead(t + AHEAD - 1);
    }
  }
#if !QUERY
  // found: [part][COMPONENTS][lanes of the stage]
  lanes = (long)warps * WARP;
  float* to = found + (long)blockIdx.y * COMPONENTS * lanes + warp * WARP + lane;
#pragma unroll
  for (int u = 0; u < K; ++u)
#pragma unroll
    for (int j = 0; j < K; ++j) to[(u * K + j) * lanes] = COUNTS ? d[u][j] * w[u][j] : d[u][j];
#if LEAVES
#pragma unroll
  for (int side = 0; side < 2; ++side)
    if (l.kind[side] == CHILD_LEAF)
#pragma unroll
      for (int u = 0; u < K; ++u) {
        const float* at = leaf + (side * STATES * K + u) * WARP + l.column[side];
        const float zero = at[0], one = at[K * WARP];
        float rest = -ones[side][u], share = 0.f;  // the flow of all rows, less other states'
#pragma unroll
        for (int i = 0; i < K; ++i) rest = fmaf(w[i][u], d[i][u], rest);
#if MISSING
        share = gone[side][u] / (zero + one);
        rest -= gone[side][u];
#endif
        float* pair = to + (K * K + side * 2 * K + 2 * u) * lanes;
        pair[0] = COUNTS ? fmaxf(rest, 0.f) : rest / zero + share;
        pair[lanes] = COUNTS ? ones[side][u] : ones[side][u] / one + share;
      }
#endif
#endif
}
