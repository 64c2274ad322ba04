// Runs CUDA kernels on a CPU, thread after thread. A block must not need its threads to wait for
// one another, and a warp has one thread.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <algorithm>
using std::exp2, std::floor, std::log, std::min;

struct Place { unsigned x, y; };
static Place threadIdx, blockIdx, blockDim, gridDim;
struct float2 { float x, y; };
struct double2 { double x, y; };

#define __global__
#define __device__
#define __shared__
#define __launch_bounds__(n)
#define __syncthreads()
#define __trap std::abort
#define WARP 1

template <class To, class From> static To as(From from) {
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}
static int __float_as_int(float x) { return as<int>(x); }
static float __int_as_float(int x) { return as<float>(x); }
static long long __double_as_longlong(double x) { return as<long long>(x); }
static double __longlong_as_double(long long x) { return as<double>(x); }
template <class T> static T __shfl_xor_sync(unsigned, T x, int) { return x; }
static unsigned __ballot_sync(unsigned, bool here) { return here; }
static int __popc(unsigned x) { return __builtin_popcount(x); }

template <class Kernel, class... Given>
static void everywhere(const int *sizes, Kernel kernel, Given... given) {
  gridDim = {(unsigned)sizes[0], (unsigned)sizes[1]}, blockDim = {(unsigned)sizes[2], 1};
  for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
      for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) kernel(given...);
}
