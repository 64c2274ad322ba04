// The M-step of rows of probabilities: (scale counts + prior) / total, or a part of the way there,
// written as logarithms without their floor. Short rows: WIDTH lanes of a warp share a row, with
// EACH counts per lane in registers. Long rows: a block for each, which reads its counts twice.
struct Way {
  float keep, gain, even;  // the new value is keep old + gain count + even
};

// From the total of a row's counts, and the running number of rows before (NaN if none).
__device__ __forceinline__ Way way_of(double counted, double& rows, double scale, float step,
                                      float prior) {
  const double total = scale * counted + prior, seen = step * total;
  rows = (1.0 - step) * (isnan(rows) ? total : rows) + seen;
  const double part = seen > 0.0 ? seen / rows : 0.0;
  const double gain = part > 0.0 ? part / total : 0.0;
  return {(float)(1.0 - part), (float)(gain * scale), (float)(gain * prior / COLUMNS)};
}

__device__ __forceinline__ float logarithm(float old, float count, const Way& way, float floor) {
  float value = way.keep * old + way.gain * count + way.even;
  if (floor > 0.f) value = fmaxf(value * (1.f + COLUMNS * floor) - floor, 1e-30f);
  return logf(value);
}

__device__ __forceinline__ double lane_sum(double x, int width) {
  for (int i = width / 2; i > 0; i /= 2) x += __shfl_xor_sync(0xffffffffu, x, i);
  return x;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    update_rows(const float* table, const float* counts, double* running, const double* scale,
                long number, float step, float prior, float floor, float* out) {
#if SHORT
  const long at = (blockIdx.x * (long)blockDim.x + threadIdx.x) / WIDTH;
  const bool valid = at < number;
  const long row = valid ? at : number - 1, first = row * COLUMNS;
  const int lane = threadIdx.x % WIDTH;
  float x[EACH];
  double counted = 0.0;
#pragma unroll
  for (int k = 0; k < EACH; ++k) {
    const int column = lane + k * WIDTH;
    x[k] = column < COLUMNS ? counts[first + column] : 0.f;
    counted += x[k];
  }
  double rows = running[row];
  counted = lane_sum(counted, WIDTH);
  __syncwarp();
  const Way way = way_of(counted, rows, *scale, step, prior);
  if (!valid) return;
  if (lane == 0) running[row] = rows;
#pragma unroll
  for (int k = 0; k < EACH; ++k) {
    const int column = lane + k * WIDTH;
    if (column < COLUMNS)
      out[first + column] = logarithm(table[first + column], x[k], way, floor);
  }
#else
  __shared__ double sums[THREADS / 32];
  const long row = blockIdx.x, first = row * COLUMNS;
  double counted = 0.0;
  for (int column = threadIdx.x; column < COLUMNS; column += THREADS)
    counted += counts[first + column];
  counted = lane_sum(counted, 32);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = counted;
  double rows = running[row];
  __syncthreads();
  counted = 0.0;
  for (int i = 0; i < THREADS / 32; ++i) counted += sums[i];
  const Way way = way_of(counted, rows, *scale, step, prior);
  if (threadIdx.x == 0) running[row] = rows;
  for (int column = threadIdx.x; column < COLUMNS; column += THREADS)
    out[first + column] = logarithm(table[first + column], counts[first + column], way, floor);
#endif
}
