/*
 * fuzz_options.c
 *		Fuzzing what looks for the label in a client's startup options.
 */
#include "model/po_names.h"

#include "fuzz.h"

#define MOST_WORDS	64

static const char *
label_in_one(const char *word)
{
	return po_label_in_options(&word, 1);
}

/* The input: words, each ended by a zero byte or the input's end. */
int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const char setting[] = "pool_optimizer.label=";
	const char *word[MOST_WORDS] = {NULL};
	int			n = 0;
	char	   *text = malloc(size + 1);
	const char *label;

	must(text != NULL, "there is memory");
	memcpy(text, bytes, size);
	text[size] = '\0';
	for (char *at = text; at < text + size && n < MOST_WORDS; at += strlen(at) + 1)
		word[n++] = at;
	label = po_label_in_options(word, n);
	if (label != NULL)
	{
		must(label >= text + sizeof(setting) - 1 && label <= text + size,
			 "a label is part of a word");
		must(label[-1] == '=' && label[1 - (int) sizeof(setting)] != '\0',
			 "a label comes after the setting's name");
	}
	/* Two words where the first takes no second are each by itself. */
	if (n == 2 && strcmp(word[0], "-c") != 0)
		must(label == (label_in_one(word[1]) != NULL ? label_in_one(word[1]) :
					   label_in_one(word[0])), "the last one wins");
	free(text);
	return 0;
}

static const FuzzSeed seeds[] = {
	SEED("-c\0pool_optimizer.label=acme"),
	SEED("-cpool_optimizer.label=acme"),
	SEED("--Pool-Optimizer.Label=acme\0--pool_optimizer.label=b"),
	SEED("-c\0work_mem=1MB\0--pool_optimizer.label="),
	SEED("-\0--\0-c"),
};

FUZZ_MAIN("fuzz_options", seeds)
