// Sums over the parts of the batch: out [COMPONENTS][lanes]. places: for each warp the number of
// parts, the lanes of its stage, and the start of its stage less its first lane.
extern "C" __global__ void collect(const float* __restrict__ found, float* __restrict__ out,
                                   long lanes, const long* __restrict__ places) {
  const long lane = blockIdx.x * (long)blockDim.x + threadIdx.x;
  if (lane >= lanes) return;
  const long* place = places + lane / WARP * 3;
  const float* from = found + place[2] + blockIdx.y * place[1] + lane;
  float total = 0.f;
  for (int part = 0; part < place[0]; ++part) total += from[part * COMPONENTS * place[1]];
  out[blockIdx.y * lanes + lane] = total;
}

// Sums over many parts, written to the first part, for lanes from ``first`` on.
extern "C" __global__ void collect_many(float* __restrict__ found, long first, long lanes,
                                        const long* __restrict__ places, int few) {
  const long lane = first + blockIdx.x * (long)blockDim.x + threadIdx.x;
  if (lane >= lanes) return;
  const long* place = places + lane / WARP * 3;
  if (place[0] <= few) return;
  float* from = found + place[2] + blockIdx.y * place[1] + lane;
  float total = 0.f;
#pragma unroll 8
  for (int part = 0; part < place[0]; ++part) total += from[part * COMPONENTS * place[1]];
  *from = total;
}

// Packs rows of data as states of two bits each: 0, 1, or ``gone`` (2 if missing); see `sixteen`.
extern "C" __global__ void pack_states(const float* __restrict__ x, unsigned* __restrict__ codes,
                                       int batch, int variables, int words, unsigned gone) {
  const int v = blockIdx.x * blockDim.x + threadIdx.x, word = blockIdx.y;
  if (v >= variables) return;
  unsigned out = 0;
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const int row = word * 16 + i - 16;
    const float state = row >= 0 && row < batch ? x[(long)row * variables + v] : 0.f;
    out |= (isnan(state) ? gone : state > 0.5f ? 1u : 0u) << (2 * i);
  }
  codes[(long)v * words + word] = out;
}

// Log-values of a mixture of roots, or of its best one. Blocks of 32 x MIXERS threads: 32 rows, each by MIXERS threads.
extern "C" __global__ void mix_up(const float* __restrict__ roots, const float* __restrict__ share,
                                  int number, int batch, float* __restrict__ out) {
  __shared__ float tops[MIXERS][32], totals[MIXERS][32];
  const int row = blockIdx.x * 32 + threadIdx.x;
  float top = -1e38f, total = 0.f;
#pragma unroll 4
  for (int r = threadIdx.y; r < number && row < batch; r += MIXERS) {
    const float value = roots[(long)r * batch + row] + logf(share[r]);
    const float more = fmaxf(top, value);
    total = total * expf(top - more) + expf(value - more);
    top = more;
  }
  tops[threadIdx.y][threadIdx.x] = top;
  totals[threadIdx.y][threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.y > 0 || row >= batch) return;
#pragma unroll
  for (int i = 1; i < MIXERS; ++i) top = fmaxf(top, tops[i][threadIdx.x]);
  total = 0.f;
#pragma unroll
  for (int i = 0; i < MIXERS; ++i)
    total += totals[i][threadIdx.x] * expf(tops[i][threadIdx.x] - top);
  out[row] = BEST ? top : top + logf(total);
}

// Flows of the roots, and gradients of their mixture weights: one block per root.
extern "C" __global__ void mix_down(const float* __restrict__ roots,
                                    const float* __restrict__ share,
                                    const float* __restrict__ values,
                                    const float* __restrict__ above, int batch,
                                    float* __restrict__ flows, float* __restrict__ out) {
  __shared__ float sums[32];
  const int r = blockIdx.x;
  const float weight = share[r], log_weight = logf(weight);
  float total = 0.f;
#pragma unroll 4
  for (int row = threadIdx.x; row < batch; row += blockDim.x) {
    const long at = (long)r * batch + row;
    const float flow = above[row] * expf(roots[at] + log_weight - values[row]);
    flows[at] = flow;
    total += flow;
  }
#pragma unroll
  for (int i = 16; i > 0; i /= 2) total += __shfl_down_sync(0xffffffffu, total, i);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = total;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int i = 1; i < blockDim.x / 32; ++i) total += sums[i];
  out[r] = total / weight;
}

// Chooses a root for each row: its flow is unit 0, the others' is -1. values: of the mixture.
extern "C" __global__ void choose_roots(const float* __restrict__ roots,
                                        const float* __restrict__ share,
                                        const float* __restrict__ values, int number, int batch,
                                        long lanes, const long* __restrict__ key,
                                        float* __restrict__ flows) {
  const int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= batch) return;
  double left = BEST ? 0. : uniform(*key, number_at(row + 1, lanes) - 1);
  float top = -1e38f;
  int found = 0;
  bool done = false;
  for (int r = 0; r < number; ++r) {
    const float log_value = roots[(long)r * batch + row] + logf(share[r]);
    flows[(long)r * batch + row] = -1.f;
    if (BEST) {
      if (log_value > top) { top = log_value; found = r; }
      continue;
    }
    const float part = expf(log_value - values[row]);
    if (!done && part > 0.f) { found = r; done = (left -= part) < 0.; }
  }
  flows[(long)found * batch + row] = 0.f;
}

// Flows of leaves' states, [input row][2][row], added up over the slots that read each.
extern "C" __global__ void add_leaves(const float* __restrict__ found, int batch, int inputs,
                                      const int* __restrict__ starts,
                                      const int* __restrict__ slots, float* __restrict__ out) {
  const int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= batch) return;
  for (int input = blockIdx.y; input < inputs; input += gridDim.y) {
    float2 sum = make_float2(0.f, 0.f);
#pragma unroll 4
    for (int i = starts[input]; i < starts[input + 1]; ++i) {
      const float2 more = ((const float2*)found)[(long)slots[i] * batch + row];
      sum.x += more.x;
      sum.y += more.y;
    }
    out[(2L * input) * batch + row] = sum.x;
    out[(2L * input + 1) * batch + row] = sum.y;
  }
}
