// Values of regions, from leaves to roots.
extern "C" __global__ void __launch_bounds__(WARPS * WARP) trees_up(
    const int* __restrict__ table, int warps, int first_lane, long lanes,
    const unsigned* __restrict__ codes, int words, const float* __restrict__ weights,
    float* __restrict__ pieces, float* __restrict__ roots, int batch, int part) {
  extern __shared__ float shared[];
  const int lane = threadIdx.x % WARP, warp = blockIdx.x * WARPS + threadIdx.x / WARP;
  if (warp >= warps) return;
  float* ring = shared + (threadIdx.x / WARP) *
                ((UP_SLOTS + 2 * STATES) * UP_RECORD + PIECES * 2 * AHEAD * WIDE) * WARP;
  float* leaf = ring + UP_SLOTS * UP_RECORD * WARP;
  float* buffer = leaf + 2 * STATES * UP_RECORD * WARP;
  const Lane l = read_lane(table, warps, warp, lane);
  const int first = blockIdx.y * part, rows = min(part, batch - first);
  weights += first_lane + warp * WARP + lane;
  float w[K][K];
  read_weights(l, weights, lanes, w);
  write_leaves<UP_RECORD>(l, weights, lanes, leaf);
  const int level = max(l.level, 0);
  int offset = ((UP_SLOTS - level) % UP_SLOTS) * UP_RECORD * WARP * 4;
#pragma unroll
  for (int i = 0; i < UP_SLOTS * UP_RECORD; ++i) ring[i * WARP + lane] = 1.f;
  Operand<UP_RECORD> left, right;
  left.open(l, 0, ring, leaf, buffer, lane, pieces, first, batch);
  right.open(l, 1, ring, leaf, buffer, lane, pieces, first, batch);
#if LEAVES
  const int of0 = l.kind[0] == CHILD_LEAF ? l.variable[0] : 0;
  const int of1 = l.kind[1] == CHILD_LEAF ? l.variable[1] : 0;
  const unsigned* codes0 = codes + (long)of0 * words + (first >> 4);
  const unsigned* codes1 = codes + (long)of1 * words + (first >> 4);
#endif
#if PIECES
  for (int i = 0; i < AHEAD - 1; ++i) {
    left.fetch_row(i - level, rows);
    right.fetch_row(i - level, rows);
    fetched();
  }
#endif
  __syncwarp();
  char* own = (char*)(ring + lane);
  const bool ends = l.parent < 0 && l.level >= 0;
  float* out = l.root >= 0 ? roots + (long)l.root * batch + first
                           : pieces + piece_at(l.piece, batch, first);
  for (int t0 = 0; t0 < rows + DEPTH; t0 += 16) {
#if LEAVES
    unsigned states0 = sixteen(codes0, t0, level), states1 = sixteen(codes1, t0, level);
#else
    unsigned states0 = 0, states1 = 0;
#endif
    const int stop = min(16, rows + DEPTH - t0);
#pragma unroll 2
    for (int i = 0; i < stop; ++i) {
      const int s = t0 + i - level;
#if PIECES
      wait();
      __syncwarp();
#endif
      float p[K], v[K];
#pragma unroll
      for (int u = 0; u < K; ++u) p[u] = 1.f;
      int e = left.times(offset, s, states0, p);
      e += right.times(offset, s, states1, p);
      e += normalize(p);
      apply(w, p, v);
#pragma unroll
      for (int u = 0; u < K; ++u) *(float*)(own + offset + u * WARP * 4) = v[u];
      *(int*)(own + offset + K * WARP * 4) = e;
      if (ends && (unsigned)s < (unsigned)rows) {
        if (l.root >= 0) {
          out[s] = logf(v[0]) + e * 0.693147180559945309f;
        } else {
          write_wide(out + s * WIDE, v, __int_as_float(e));
        }
      }
      next(offset, UP_RECORD, UP_SLOTS);
      states0 >>= 2;
      states1 >>= 2;
#if PIECES
      left.fetch_row(s + AHEAD - 1, rows);
      right.fetch_row(s + AHEAD - 1, rows);
      fetched();
#else
      __syncwarp();
#endif
    }
  }
}
