/*
 * fuzz.h
 *		What the fuzzers share: seeds, a mutator, numbers, and a driver without libFuzzer.
 *
 * A fuzzer defines LLVMFuzzerTestOneInput and ends with FUZZ_MAIN(name, seeds).
 * With -DPO_LIBFUZZER libFuzzer drives it.  Otherwise main runs the inputs of a
 * corpus file, its first argument, where each line is an input in hexadecimal digits,
 * and then a number of others, mutated from the seeds and the corpus by a PRNG: the
 * same on every run.  With --seeds it prints the seeds as such lines, for libFuzzer to
 * begin with.  What must hold is asserted; memory is watched by ASan.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdlib.h>

#include "check.h"

#define FUZZ_MOST_BYTES	600		/* of an input */

/* Zero bytes may be part of a seed, so each comes with its size. */
typedef struct FuzzSeed
{
	const char *bytes;
	size_t		size;
} FuzzSeed;

#define SEED(text)	{text, sizeof(text) - 1}

extern int	LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What was violated has to be told before the end. */
static inline void
must(bool holds, const char *what)
{
	if (!holds)
	{
		fprintf(stderr, "violated: %s\n", what);
		abort();
	}
}

/* ---------- numbers out of an input; all are 0 where it ends ---------- */

typedef struct FuzzReader
{
	const uint8_t *bytes;
	size_t		size;
	size_t		read;
} FuzzReader;

static inline uint64_t
fuzz_take(FuzzReader *in, int n_bytes)
{
	uint64_t	word = 0;

	for (int i = 0; i < n_bytes && in->read < in->size; i++)
		word |= (uint64_t) in->bytes[in->read++] << 8 * i;
	return word;
}

/* The first byte says how: a number that is odd, or one of so many bytes. */
static inline int
fuzz_int(FuzzReader *in)
{
	static const int odd[] = {INT_MIN, INT_MIN + 1, -2, -1, 262143, 262144, INT_MAX - 1, INT_MAX};
	unsigned	how = (unsigned) fuzz_take(in, 1);

	if (how < 0x80)
		return (int) how;
	if (how >= 0xF8)
		return odd[how - 0xF8];
	return how < 0xE0 ? (int) fuzz_take(in, 2) : (int) (uint32_t) fuzz_take(in, 4);
}

static inline int64_t
fuzz_int64(FuzzReader *in)
{
	uint8_t		how = (uint8_t) fuzz_take(in, 1);

	/* Small ones, those with two digits that count, and any. */
	return how < 0x40 ? how : how < 0xE0 ? (int64_t) (fuzz_take(in, 1) << (how - 0x40) % 63) :
		(int64_t) fuzz_take(in, 8);
}

static inline double
fuzz_double(FuzzReader *in)
{
	static const double odd[] = {
		NAN, INFINITY, -INFINITY, DBL_MAX, -DBL_MAX, DBL_MIN, 4.9e-324, -0.0
	};
	unsigned	how = (unsigned) fuzz_take(in, 1);
	uint64_t	bits;
	double		x;

	if (how < 0x40)
		return how;
	if (how >= 0xF8)
		return odd[how - 0xF8];
	if (how < 0xA0)
		return (double) fuzz_take(in, 1) / 255;
	if (how < 0xE0)
		return ldexp((double) fuzz_take(in, 1), (int) how - 0xC0);
	bits = fuzz_take(in, 8);
	memcpy(&x, &bits, sizeof(x));
	return x;
}

#ifdef PO_LIBFUZZER

#define FUZZ_MAIN(name, seeds) \
	extern const FuzzSeed *const fuzz_seeds; \
	const FuzzSeed *const fuzz_seeds = seeds;

#else

/* A fuzzer whose inputs take long has fewer. */
#ifndef FUZZ_N_INPUTS
#define FUZZ_N_INPUTS	50000
#endif
#define FUZZ_N_CORPUS	4000

typedef struct FuzzInput
{
	uint8_t    *bytes;
	size_t		size;
} FuzzInput;

static FuzzInput fuzz_corpus[FUZZ_N_CORPUS];
static int	fuzz_n_corpus = 0;

static inline void
fuzz_add(const void *bytes, size_t size)
{
	FuzzInput  *input = &fuzz_corpus[fuzz_n_corpus++];

	must(fuzz_n_corpus < FUZZ_N_CORPUS && size <= FUZZ_MOST_BYTES, "the corpus fits");
	input->size = size;
	input->bytes = malloc(size + 1);
	must(input->bytes != NULL, "there is memory");
	memcpy(input->bytes, bytes, size);
}

/* Each line is an input in hexadecimal digits. */
static inline void
fuzz_read_corpus(const char *path)
{
	FILE	   *file = fopen(path, "r");
	char		line[2 * FUZZ_MOST_BYTES + 2];
	uint8_t		bytes[FUZZ_MOST_BYTES];

	must(file != NULL, "the corpus can be read");
	while (fgets(line, sizeof(line), file) != NULL)
	{
		size_t		size = strspn(line, "0123456789abcdef") / 2;

		must(line[2 * size] == '\n', "a line of the corpus is hexadecimal digits");
		for (size_t i = 0; i < size; i++)
		{
			char		digits[3] = {line[2 * i], line[2 * i + 1], '\0'};

			bytes[i] = (uint8_t) strtol(digits, NULL, 16);
		}
		fuzz_add(bytes, size);
	}
	fclose(file);
}

static inline size_t
fuzz_mutate(uint8_t *bytes, size_t size)
{
	static const char likely[] = "*%/:.0129afudhL[]-c=_ \\\xC3\xA9\xE2\xF0\x7F\n";
	int			n = random_below(8);

	while (n-- > 0)
	{
		size_t		at = (size_t) random_below((int) size + 1);

		switch (random_below(5))
		{
			case 0:				/* overwrite */
				if (at < size)
					bytes[at] = (uint8_t) random_bits();
				break;
			case 1:				/* insert, also a zero byte */
				if (size < FUZZ_MOST_BYTES)
				{
					memmove(bytes + at + 1, bytes + at, size - at);
					bytes[at] = (uint8_t) likely[random_below(sizeof(likely))];
					size++;
				}
				break;
			case 2:				/* delete */
				if (at < size && size > 1)
				{
					memmove(bytes + at, bytes + at + 1, size - at - 1);
					size--;
				}
				break;
			case 3:				/* flip a bit */
				if (at < size)
					bytes[at] ^= (uint8_t) (1 << random_below(8));
				break;
			default:			/* repeat the end */
				if (at < size && size + (size - at) <= FUZZ_MOST_BYTES)
				{
					memcpy(bytes + size, bytes + at, size - at);
					size += size - at;
				}
				break;
		}
	}
	return size;
}

/* On the heap and of its exact size, so that ASan sees what lies beyond it. */
static inline void
fuzz_run(const uint8_t *bytes, size_t size)
{
	uint8_t    *copy = malloc(size > 0 ? size : 1);

	must(copy != NULL, "there is memory");
	memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	check_count++;
}

static inline int
fuzz_print_seeds(const FuzzSeed *seeds, int n_seeds)
{
	for (int i = 0; i < n_seeds; i++)
	{
		for (size_t at = 0; at < seeds[i].size; at++)
			printf("%02x", (unsigned char) seeds[i].bytes[at]);
		putchar('\n');
	}
	return 0;
}

static inline int
fuzz_main(const char *name, const char *corpus, const FuzzSeed *seeds, int n_seeds)
{
	uint8_t		bytes[FUZZ_MOST_BYTES];

	if (corpus != NULL && strcmp(corpus, "--seeds") == 0)
		return fuzz_print_seeds(seeds, n_seeds);
	for (int i = 0; i < n_seeds; i++)
		fuzz_add(seeds[i].bytes, seeds[i].size);
	if (corpus != NULL)
		fuzz_read_corpus(corpus);
	for (int i = 0; i < fuzz_n_corpus; i++)
		fuzz_run(fuzz_corpus[i].bytes, fuzz_corpus[i].size);
	for (int i = 0; i < FUZZ_N_INPUTS; i++)
	{
		/* Seeds are few and readable; they get as much as the corpus. */
		int			which = random_below(random_below(2) == 0 ? n_seeds : fuzz_n_corpus);
		size_t		size = fuzz_corpus[which].size;

		memcpy(bytes, fuzz_corpus[which].bytes, size);
		for (int rounds = random_below(6); rounds >= 0; rounds--)
			size = fuzz_mutate(bytes, size);
		fuzz_run(bytes, size);
	}
	for (int i = 0; i < fuzz_n_corpus; i++)
		free(fuzz_corpus[i].bytes);
	return check_end(name);
}

#define FUZZ_MAIN(name, seeds) \
int \
main(int argc, char **argv) \
{ \
	return fuzz_main(name, argc > 1 ? argv[1] : NULL, seeds, \
					 (int) (sizeof(seeds) / sizeof((seeds)[0]))); \
}

#endif							/* PO_LIBFUZZER */

#endif							/* FUZZ_H */
