/*
 * check.h
 *		The harness of the model's tests: counted checks and a PRNG.
 *
 * Each test is a program: main calls its test functions and returns check_end().
 * A failed check tells where and what, and the test goes on; after
 * CHECK_MAX_TOLD failures they are only counted.
 */
#ifndef CHECK_H
#define CHECK_H

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CHECK_MAX_TOLD	20

static long check_count = 0;
static long check_failures = 0;

static void check_that(bool holds, const char *file, int line, const char *format,...)
			__attribute__((format(printf, 4, 5)));

static void
check_that(bool holds, const char *file, int line, const char *format,...)
{
	va_list		args;

	check_count++;
	if (holds)
		return;
	if (++check_failures > CHECK_MAX_TOLD)
		return;
	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static inline void
check_int_at(long long got, long long want, const char *file, int line, const char *what)
{
	check_that(got == want, file, line, "%s is %lld, not %lld", what, got, want);
}

/* Equal within tolerance; infinities equal themselves, NaN nothing. */
static inline void
check_near_at(double got, double want, double tolerance, const char *file, int line,
			  const char *what)
{
	check_that(got == want || fabs(got - want) <= tolerance, file, line,
			   "%s is %.10g, not %.10g (+- %g)", what, got, want, tolerance);
}

static inline void
check_text_at(const char *got, const char *want, const char *file, int line,
			  const char *what)
{
	check_that(strcmp(got, want) == 0, file, line, "%s is \"%s\", not \"%s\"",
			   what, got, want);
}

/* For a property: the values that explain a failure come with it. */
#define CHECK_WITH(holds, ...) \
	check_that((holds), __FILE__, __LINE__, #holds ": " __VA_ARGS__)

#define CHECK(holds) \
	check_that((holds), __FILE__, __LINE__, "%s", #holds)
#define CHECK_INT(got, want) \
	check_int_at((got), (want), __FILE__, __LINE__, #got)
#define CHECK_NEAR(got, want, tolerance) \
	check_near_at((got), (want), (tolerance), __FILE__, __LINE__, #got)
#define CHECK_TEXT(got, want) \
	check_text_at((got), (want), __FILE__, __LINE__, #got)

/* Tells the number of checks; the exit status of main. */
static inline int
check_end(const char *name)
{
	if (check_failures > 0)
		fprintf(stderr, "%s: %ld of %ld checks failed\n", name, check_failures, check_count);
	else
		printf("%s: %ld checks\n", name, check_count);
	return check_failures > 0 ? 1 : 0;
}

/* splitmix64 (G. L. Steele et al. 2014): the same numbers on every run. */
static uint64_t random_state = 20240607;

static inline uint64_t
random_bits(void)
{
	uint64_t	z = (random_state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* Uniform from 0 to n - 1; n > 0. */
static inline int
random_below(int n)
{
	return (int) (random_bits() % (uint64_t) n);
}

static inline double
random_unit(void)
{
	return (double) (random_bits() >> 11) / 9007199254740992.0;
}

/* Of every order of magnitude alike. */
static inline int64_t
random_magnitude(void)
{
	return (int64_t) (random_bits() >> (1 + random_below(63)));
}

static inline void
random_fill(void *memory, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((unsigned char *) memory)[i] = (unsigned char) random_bits();
}

/* What nobody would pass on purpose, and some of what one would. */
static inline double
random_odd_double(void)
{
	static const double odd[] = {
		NAN, INFINITY, -INFINITY, DBL_MAX, -DBL_MAX, DBL_MIN, 4.9e-324, 0.0, -0.0, -1.0,
		1.0, 0.5, 1e-9, 1e9, 262143.0, 262144.0, 9.3e18
	};
	int			i = random_below((int) (sizeof(odd) / sizeof(odd[0])) + 8);

	if (i < (int) (sizeof(odd) / sizeof(odd[0])))
		return odd[i];
	return exp(random_unit() * 60 - 30);
}

static inline int
random_odd_int(void)
{
	static const int odd[] = {INT_MIN, INT_MIN + 1, -2, -1, 0, 1, 2, 262143, 262144, INT_MAX};
	int			i = random_below((int) (sizeof(odd) / sizeof(odd[0])) + 6);

	if (i < (int) (sizeof(odd) / sizeof(odd[0])))
		return odd[i];
	return random_below(300);
}

static inline int64_t
random_odd_int64(void)
{
	static const int64_t odd[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
	int			i = random_below((int) (sizeof(odd) / sizeof(odd[0])) + 6);

	if (i < (int) (sizeof(odd) / sizeof(odd[0])))
		return odd[i];
	return random_magnitude();
}

#endif							/* CHECK_H */
