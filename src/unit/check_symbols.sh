#!/bin/sh
#
# check_symbols.sh SO
#		Refuses names that our library would impose on everybody else's.
#
# PostgreSQL 15 exports every non-static name of a module and loads modules with
# RTLD_GLOBAL, so that two modules with one name share one variable.
#
# A name is told with file and line where the library has debug information, else
# with the library's name.
#
set -eu
LC_ALL=C
export LC_ALL

if [ $# -ne 1 ] || [ ! -f "$1" ]; then
	echo "usage: check_symbols.sh SO" >&2
	exit 2
fi

names=$(nm -D --defined-only --line-numbers "$1")

printf '%s\n' "$names" | awk -v library="$1" '
	# "address type name[TAB]file:line"
	{
		n = split($0, part, "\t")
		split(part[1], word, " ")
		name = word[3]
		total++
	}
	name ~ /^(po_|pool_|pg_finfo_pool_)/ || name == "Pg_magic_func" || name == "_PG_init" { next }
	{
		printf "%s: exports \"%s\", which is not static and lacks the prefix po_ or pool_\n",
			(n > 1 ? part[2] : library ":0"), name
		bad++
	}
	END {
		if (total == 0)
		{
			printf "%s:0: exports nothing, not even Pg_magic_func\n", library
			exit 1
		}
		if (bad)
			exit 1
		printf "check_symbols: %d exported names, all with a prefix of ours\n", total
	}'
