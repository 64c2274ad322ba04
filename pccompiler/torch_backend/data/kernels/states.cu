// Whether a value of the rows is neither a state of its variable nor, unless COMPLETE, missing.
// whole: per variable, whether only whole numbers are allowed.
extern "C" __global__ void __launch_bounds__(THREADS)
    find_wrong(const REAL* __restrict__ x, long size, int variables, const REAL* __restrict__ low,
               const REAL* __restrict__ high, const bool* __restrict__ whole, bool* wrong) {
  bool found = false;
  for (long i = blockIdx.x * (long)THREADS + threadIdx.x; i < size; i += gridDim.x * (long)THREADS) {
    const int v = i % variables;
    const REAL value = x[i];
    const bool fits = value >= low[v] && value <= high[v] && !(whole[v] && floor(value) != value);
    found |= !fits && (COMPLETE || value == value);
  }
  if (found) *wrong = true;
}
