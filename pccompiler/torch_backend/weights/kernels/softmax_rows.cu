// Softmax of rows and the floor, in one pass each way. WIDTH lanes of a warp share a row, with EACH
// numbers per lane; WIDTH EACH covers the columns.
struct Row {
  long first;
  int lane;
  bool valid;

  __device__ __forceinline__ explicit Row(long rows) {
    const long at = (blockIdx.x * (long)blockDim.x + threadIdx.x) / WIDTH;
    valid = at < rows;
    first = (valid ? at : rows - 1) * COLUMNS;
    lane = threadIdx.x % WIDTH;
  }
};

__device__ __forceinline__ void read(const float* __restrict__ from, const Row& row, float other,
                                     float x[EACH]) {
#pragma unroll
  for (int k = 0; k < EACH; ++k) {
    const int column = row.lane + k * WIDTH;
    x[k] = column < COLUMNS ? from[row.first + column] : other;
  }
}

__device__ __forceinline__ void write(float* __restrict__ to, const Row& row, const float x[EACH]) {
#pragma unroll
  for (int k = 0; k < EACH; ++k) {
    const int column = row.lane + k * WIDTH;
    if (row.valid && column < COLUMNS) to[row.first + column] = x[k];
  }
}

__device__ __forceinline__ float sum(float x) {
#pragma unroll
  for (int i = WIDTH / 2; i > 0; i /= 2) x += __shfl_xor_sync(0xffffffffu, x, i);
  return x;
}

__device__ __forceinline__ void softmax(float x[EACH]) {
  float top = x[0], total = 0.f;
#pragma unroll
  for (int k = 1; k < EACH; ++k) top = fmaxf(top, x[k]);
#pragma unroll
  for (int i = WIDTH / 2; i > 0; i /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, i));
#pragma unroll
  for (int k = 0; k < EACH; ++k) total += x[k] = expf(x[k] - top);
  const float scale = 1.f / sum(total);
#pragma unroll
  for (int k = 0; k < EACH; ++k) x[k] *= scale;
}

extern "C" __global__ void __launch_bounds__(THREADS) softmax_up(const float* raw, long rows,
                                                                 float floor, float* out) {
  const Row row(rows);
  float x[EACH];
  read(raw, row, __int_as_float(0xff800000), x);
  softmax(x);
  const float scale = 1.f / (1.f + COLUMNS * floor);
#pragma unroll
  for (int k = 0; k < EACH; ++k) x[k] = (x[k] + floor) * scale;
  write(out, row, x);
}

extern "C" __global__ void __launch_bounds__(THREADS) softmax_down(const float* raw,
                                                                   const float* above, long rows,
                                                                   float floor, float* out) {
  const Row row(rows);
  float x[EACH], d[EACH], mean = 0.f;
  read(raw, row, __int_as_float(0xff800000), x);
  read(above, row, 0.f, d);
  softmax(x);
#pragma unroll
  for (int k = 0; k < EACH; ++k) mean = fmaf(x[k], d[k], mean);
  mean = sum(mean);
  const float scale = 1.f / (1.f + COLUMNS * floor);
#pragma unroll
  for (int k = 0; k < EACH; ++k) x[k] *= scale * (d[k] - mean);
  write(out, row, x);
}
