# shellcheck shell=bash
#
# lib.sh
#		What scripts/demo and scripts/test share: finding or installing what they need,
#		an unprivileged user, a work directory of their own, ending what they started.
#
# A script sources this, calls lib_start first, and uses $work, $source_dir (the
# sources as given) and $bindir.  Servers refuse to run as root and the sources may
# be where only root can read, so the work is done on a copy that the unprivileged
# user owns.  Whatever is started runs as a job, in a process group of its own, and
# is ended by that group's id; servers that left their group (pg_ctl does that) are
# found by their postmaster.pid in $work.

LEAST_MAJOR=15
end_seconds=5				# how long a job may take to end when told to

work=
keep_work=no
run_as=						# user to run things as; empty = the caller
as_user=()					# command prefix for that
as_root=()					# command prefix for what needs root
root_asks=no				# for a password, before as_root can be set
ticket_keeper=				# process that keeps sudo from asking again
jobs_started=()
undo_install=()				# files that exist only while packages are installed
setup_files=(/etc/postgresql-common/createcluster.d/zz-pool_optimizer-setup.conf
	/usr/sbin/policy-rc.d)
setup_mark='# Of pool_optimizer, while it installs packages, by process'
pg_config=
bindir=
major=

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# ---------- beginning and end ----------

lib_start()
{
	local name

	set -u
	unset CDPATH
	source_dir=$(cd "$(dirname "$0")/.." && pwd) || exit 1
	# What the caller's shell says about his own servers must not lead us there.
	for name in "${!PG@}"; do
		case $name in
			PG_CONFIG | PG_CONFIG_OLD | PGMATRIX_*) ;;
			*) unset "$name" ;;
		esac
	done
	unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES PERL5LIB PROVE_TESTS PROVE_FLAGS
	# Some libraries heed it rather than LC_ALL.
	unset LANGUAGE
	export LC_ALL=C.UTF-8
	PATH=$PATH:/usr/sbin:/sbin
	umask 022
	is_usable_tmpdir || unset TMPDIR
	trap lib_end EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# Its path gets into file names in configurations, commands and PostgreSQL's tests.
is_usable_tmpdir()
{
	[[ ${TMPDIR-} == /* && $TMPDIR != *[!A-Za-z0-9._/+-]* && -d $TMPDIR && -w $TMPDIR ]]
}

# May be called twice: before the last line of output, and on the way out.
lib_end()
{
	trap '' HUP INT TERM
	end_jobs
	forget_install_settings
	if [ -n "$ticket_keeper" ]; then
		kill -TERM -- "-$ticket_keeper" 2>/dev/null
		wait "$ticket_keeper" 2>/dev/null
		ticket_keeper=
	fi
	if [ -n "$work" ] && [ "$keep_work" = no ]; then
		stop_servers
		rm -rf "$work"
		work=
	fi
}

# Leaves the server of $work running.
end_jobs()
{
	local job tries

	signal_jobs TERM "${jobs_started[@]}"
	for job in "${jobs_started[@]}"; do
		for ((tries = 0; tries < 10 * end_seconds; tries++)); do
			job_lives "$job" || break
			sleep 0.1
		done
		if job_lives "$job" && ! signal_jobs KILL "$job" && job_lives "$job"; then
			say "Please end process $job, as root." >&2
		else
			wait "$job" 2>/dev/null
		fi
	done
	jobs_started=()
}

# signal_jobs SIGNAL JOB...: as root if that is by sudo, since what runs under it is root's.
signal_jobs()
{
	local signal=$1

	shift
	[ $# -gt 0 ] || return
	# shellcheck disable=SC2016
	if [ "${as_root[0]-}" = sudo ] &&
		"${as_root[@]}" bash -c 'kill -s "$0" -- "$@"' "$signal" "${@/#/-}" 2>/dev/null; then
		return
	fi
	kill -s "$signal" -- "${@/#/-}" 2>/dev/null
}

# One that we may not signal lives, too.
job_lives()
{
	case $(kill -0 -- "-$1" 2>&1) in
		'' | *'not permitted'*) ;;
		*) return 1 ;;
	esac
}

stop_servers()
{
	local pidfile

	[ -n "$bindir" ] || return
	while IFS= read -r pidfile; do
		"${as_user[@]}" "$bindir/pg_ctl" -D "$(dirname "$pidfile")" -m immediate -w stop \
			>/dev/null 2>&1
	done < <(find "$work" -name postmaster.pid 2>/dev/null)
}

# Starts a command as the unprivileged user: start_job LOG COMMAND...; sets $job.
start_job()
{
	local log=$1

	shift
	# With job control the job has a process group of its own and does not start
	# with SIGINT ignored, which tests would inherit.
	set -m
	"${as_user[@]}" "$@" </dev/null >"$log" 2>&1 &
	job=$!
	set +m
	jobs_started+=("$job")
}

# The same, and waits for it.  A signal to us is handled at once.
run_job()
{
	start_job "$@"
	wait_job
}

# Waits for the job started last, which is no more ours to end then: its number may
# be given to another process.
wait_job()
{
	local status

	wait "$job"
	status=$?
	unset "jobs_started[-1]"
	return $status
}

# ---------- what is needed ----------

# The system's compiler is what PGXS uses unless told otherwise.
compiles()
{
	gcc "$@" -x c -o /dev/null - >/dev/null 2>&1
}

is_complete()
{
	[ -x "$1" ] && [ -x "$("$1" --bindir)/postgres" ] && [ -f "$("$1" --pgxs)" ] &&
		[ -f "$("$1" --includedir-server)/postgres.h" ]
}

major_of()
{
	"$1" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/'
}

# Sets pg_config to the first that has a server and its development files and is not too
# old, if any.
find_postgres()
{
	local candidate

	pg_config=
	if [ -n "${PG_CONFIG:-}" ]; then
		candidate=$(command -v "$PG_CONFIG") || die "PG_CONFIG=$PG_CONFIG is not there"
		# make has another current directory.
		candidate=$(cd "$(dirname "$candidate")" && pwd)/${candidate##*/}
		is_complete "$candidate" ||
			die "PG_CONFIG=$PG_CONFIG has no server or no development files"
		is_new_enough "$candidate" ||
			die "PG_CONFIG=$PG_CONFIG is too old, PostgreSQL $LEAST_MAJOR or newer is needed"
		pg_config=$candidate
	else
		while IFS= read -r candidate; do
			if [ -n "$candidate" ] && is_complete "$candidate" && is_new_enough "$candidate"; then
				pg_config=$candidate
				break
			fi
		done < <(command -v pg_config; printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -Vr)
	fi
	[ -n "$pg_config" ] || return
	bindir=$("$pg_config" --bindir)
	major=$(major_of "$pg_config")
}

is_new_enough()
{
	[ "$(major_of "$1")" -ge "$LEAST_MAJOR" ]
}

# The major whose packages to install, if any can be had: that of a server there already,
# else what the distribution calls postgresql, else the newest there is.
major_to_install()
{
	local server nn

	server=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -1)
	if [ -x "$server" ] && is_new_enough "$server"; then
		major_of "$server"
		return
	fi
	nn=$(apt-cache depends postgresql 2>/dev/null |
		sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | sort -n | tail -1)
	if [ "${nn:-0}" -lt "$LEAST_MAJOR" ]; then
		nn=$(newest_major)
	fi
	[ -z "$nn" ] || echo "$nn"
}

# Of those that are new enough and that apt-get can install.
newest_major()
{
	local nn

	apt-cache pkgnames postgresql- 2>/dev/null | sed -n 's/^postgresql-\([0-9][0-9]*\)$/\1/p' |
		sort -rn | while IFS= read -r nn; do
			[ "$nn" -ge "$LEAST_MAJOR" ] || break
			if has_candidate "postgresql-$nn"; then
				echo "$nn"
				break
			fi
		done
}

# Prints the packages that are missing among those for: missing_packages NEED...
missing_packages()
{
	local need nn

	for need in "$@"; do
		case $need in
			compiler)
				echo 'int main(void){return 0;}' | compiles || echo gcc libc6-dev ;;
			sanitizers)
				# They come with gcc.
				echo 'int main(void){return 0;}' | compiles -fsanitize=address,undefined ||
					echo gcc libc6-dev ;;
			make)
				command -v make >/dev/null || echo make ;;
			perl)
				# perl-base, which is always there, has no prove.
				command -v prove >/dev/null || echo perl ;;
			ipc-run)
				perl -MIPC::Run -e 1 2>/dev/null || echo libipc-run-perl ;;
			gssapi)
				echo '#include <gssapi/gssapi.h>' | compiles -fsyntax-only || echo libkrb5-dev ;;
			libpq)
				# Debian's server-dev brings it along.
				[ -e "$("${pg_config:-pg_config}" --includedir 2>/dev/null)/libpq-fe.h" ] ||
					echo libpq-dev ;;
			debootstrap)
				command -v debootstrap >/dev/null || echo debootstrap ;;
			iproute)
				command -v ip >/dev/null || echo iproute2 ;;
			pgbouncer)
				command -v pgbouncer >/dev/null || echo pgbouncer ;;
			chromium)
				command -v chromium >/dev/null || echo chromium fonts-dejavu-core ;;
			python-clients)
				/usr/bin/python3 -c 'import sqlalchemy, psycopg2' 2>/dev/null ||
					echo python3-sqlalchemy python3-psycopg2 ;;
			node-pg)
				has_node_pg || echo node-pg ;;
			hikaricp)
				[ -e /usr/share/java/HikariCP.jar ] || echo libhikaricp-java
				[ -e /usr/share/java/postgresql.jar ] || echo libpostgresql-jdbc-java
				[ -e /usr/share/java/slf4j-api.jar ] || echo libslf4j-java ;;
			jdk)
				command -v javac >/dev/null || echo default-jdk-headless ;;
			pgx)
				command -v go >/dev/null || echo golang-go
				[ -d /usr/share/gocode/src/github.com/jackc/pgx/v5 ] ||
					[ -d /usr/share/gocode/src/github.com/jackc/pgx/v4 ] ||
					echo golang-github-jackc-pgx-v4-dev ;;
			tmux)
				command -v tmux >/dev/null || echo tmux ;;
			prometheus)
				command -v promtool >/dev/null || echo prometheus ;;
			node-exporter | postgres-exporter | sql-exporter)
				command -v "prometheus-$need" >/dev/null || echo "prometheus-$need" ;;
			wait-sampling)
				[ -f "$("$pg_config" --pkglibdir)/pg_wait_sampling.so" ] ||
					echo "postgresql-$major-pg-wait-sampling" ;;
			postgres)
				if [ -z "$pg_config" ]; then
					nn=$(major_to_install)
					echo "postgresql-${nn:-$LEAST_MAJOR}" "postgresql-server-dev-${nn:-$LEAST_MAJOR}"
				fi ;;
		esac
	done | tr ' ' '\n' | sort -u | tr '\n' ' ' | sed 's/ $//'
}

# Sets as_root if there is a way to be root; get_root asks for the password that it may
# take.
find_root()
{
	if [ "$(id -u)" = 0 ]; then
		as_root=(env)
		forget_stale_settings
	elif command -v sudo >/dev/null; then
		if sudo -n true 2>/dev/null; then
			use_sudo
		elif [ -t 0 ]; then
			root_asks=yes
		fi
	fi
}

# get_root WHAT-FOR: fails if there is no way.
get_root()
{
	if [ "$root_asks" = yes ]; then
		root_asks=no
		say "To $*, sudo asks for the password of $(id -un)."
		if sudo -v && sudo -n true; then
			use_sudo
		else
			say "Going on without root."
		fi
	fi
	[ ${#as_root[@]} -gt 0 ]
}

# Later it must not ask: from the background that would stop it for ever.
use_sudo()
{
	as_root=(sudo -n)
	# In a group of its own, so that it can be ended with its sleep.
	set -m
	(while sleep 60 && kill -0 $$ && sudo -n -v; do :; done) </dev/null >/dev/null 2>&1 &
	ticket_keeper=$!
	set +m
	forget_stale_settings
}

# While packages are installed no server of theirs is to start, as nobody asked for
# one: no cluster "main" and no service.  Nothing of this stays.
prevent_services()
{
	local file=${setup_files[0]}

	if [ ! -d "${file%/*}" ]; then
		"${as_root[@]}" mkdir -p "${file%/*}" || return
		undo_install+=("${file%/*}")
	fi
	undo_install+=("$file")
	printf '%s\n' "$setup_mark $$" 'create_main_cluster = false' |
		"${as_root[@]}" tee "$file" >/dev/null
	file=${setup_files[1]}
	if [ ! -e "$file" ]; then
		undo_install+=("$file")
		printf '%s\n' '#!/bin/sh' "$setup_mark $$" 'exit 101' | "${as_root[@]}" tee "$file" >/dev/null
		"${as_root[@]}" chmod 755 "$file"
	fi
}

# What a run left that was killed: no package could start its service any more.
forget_stale_settings()
{
	local file process

	for file in "${setup_files[@]}"; do
		process=$(sed -n "s/^$setup_mark \([0-9][0-9]*\)$/\1/p" "$file" 2>/dev/null)
		if [ -n "$process" ] && [ ! -e "/proc/$process" ]; then
			"${as_root[@]}" rm -f "$file"
		fi
	done
}

forget_install_settings()
{
	local i

	for ((i = ${#undo_install[@]} - 1; i >= 0; i--)); do
		if [ -d "${undo_install[i]}" ]; then
			# dpkg owns it by now, unless nothing was installed.
			dpkg -S "${undo_install[i]}" >/dev/null 2>&1 ||
				"${as_root[@]}" rmdir "${undo_install[i]}" 2>/dev/null
		else
			"${as_root[@]}" rm -f "${undo_install[i]}" ||
				say "Please remove ${undo_install[i]}, as root." >&2
		fi
	done
	undo_install=()
}

apt_get()
{
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"
}

# Not in a subshell: when that is interrupted nobody undoes what is for the time of the
# installation only.
install_packages()
{
	local log status package

	log=$(mktemp) || die "cannot write to a temporary file"
	undo_install+=("$log")
	prevent_services
	apt_get install -y --no-install-recommends "$@" >"$log" 2>&1
	status=$?
	[ $status -eq 0 ] || tail -20 "$log" >&2
	forget_install_settings
	if [ $status -ne 0 ]; then
		say "apt-get could not install: $*" >&2
		return $status
	fi
	for package in "$@"; do
		case $package in
			pgbouncer | prometheus*)
				# Only its program is wanted, not a service from the next boot on.
				if command -v systemctl >/dev/null; then
					"${as_root[@]}" systemctl disable "$package.service" >/dev/null 2>&1
				fi ;;
		esac
	done
}

# Installs what is missing: need NEED...  Then sets pg_config, bindir, as_user.
need()
{
	find_root
	find_postgres
	install_missing "$@" || exit 1
	[ -n "$pg_config" ] || die "no PostgreSQL with development files found"
	choose_user
}

# Installs what single tests need, if it can be had; they skip themselves otherwise.
want()
{
	local missing package updated=no

	missing=$(missing_packages "$@")
	if [ -z "$missing" ] || ! command -v apt-get >/dev/null ||
		! get_root "install packages for single tests"; then
		return
	fi
	for package in $missing; do
		if [ $updated = no ] && ! has_candidate "$package"; then
			apt_get update >/dev/null 2>&1
			updated=yes
		fi
		if has_candidate "$package" && install_packages "$package" >/dev/null 2>&1; then
			say "Installed with apt-get, for single tests: $package"
		else
			say "Package $package cannot be had; what needs it will be skipped."
		fi
	done
}

has_candidate()
{
	apt-cache policy "$1" 2>/dev/null | grep 'Candidate: [^(]' >/dev/null
}

# Debian's modules are where its own node looks, and another one with NODE_PATH.
has_node_pg()
{
	NODE_PATH=${NODE_PATH:-/usr/share/nodejs} node -e 'require("pg")' 2>/dev/null
}

# Packages of Debian's modules cannot be installed beside a node that is not Debian's:
# unpacks them into a directory, which NODE_PATH names then.
unpack_node_pg()
{
	local packages file

	if has_node_pg || ! command -v node >/dev/null || ! command -v apt-get >/dev/null; then
		return
	fi
	packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
		--no-breaks --no-replaces --no-enhances node-pg 2>/dev/null | grep '^node-' | sort -u)
	mkdir -p "$1" || return
	# shellcheck disable=SC2086
	(cd "$1" && apt-get -q download $packages >/dev/null 2>&1)
	for file in "$1"/*.deb; do
		[ ! -e "$file" ] || dpkg-deb -x "$file" "$1"
	done
	export NODE_PATH=$1/usr/share/nodejs
	has_node_pg && say "Unpacked for single tests: node-pg"
}

# Fails if something is still missing, and has said why.
install_missing()
{
	local missing

	missing=$(missing_packages "$@")
	if [ -n "$missing" ]; then
		if ! command -v apt-get >/dev/null; then
			say "This system has no apt-get; please install what Debian calls: $missing" >&2
			return 1
		fi
		if ! get_root "install packages"; then
			say "Some packages are missing.  As root, please run"
			say "    apt-get install --no-install-recommends $missing"
			say "and start scripts/${0##*/} again."
			return 1
		fi
		say "Missing packages; updating the list of packages ..."
		apt_get update >/dev/null 2>&1 || say "(apt-get update failed; going on with the list there is)"
		# Only now is it known what the distribution's PostgreSQL is.
		missing=$(missing_packages "$@")
		if [ -z "$pg_config" ] && [[ " $* " == *' postgres '* ]] && [ -z "$(major_to_install)" ]; then
			say "apt-get has no PostgreSQL $LEAST_MAJOR or newer, apt.postgresql.org has." >&2
			return 1
		fi
		say "Installing with apt-get: $missing"
		# shellcheck disable=SC2086
		install_packages $missing || return
		find_postgres
	fi
	missing=$(missing_packages "$@")
	[ -z "$missing" ] || say "Still missing after apt-get install: $missing" >&2
	[ -z "$missing" ]
}

choose_user()
{
	local group

	[ "$(id -u)" = 0 ] || return
	if id postgres >/dev/null 2>&1; then
		run_as=postgres
	else
		run_as=nobody
	fi
	group=$(id -g "$run_as") || die "there is no user to run a server as"
	as_user=(setpriv --reuid "$run_as" --regid "$group" --init-groups --)
}

may_write_there()
{
	[ -w "$("$pg_config" --pkglibdir)" ] && [ -w "$("$pg_config" --sharedir)/extension" ]
}

# Better told now than after the build.
need_right_to_install()
{
	if ! may_write_there && ! get_root "install the extension"; then
		say "The extension has to be installed into $("$pg_config" --pkglibdir),"
		say "which $(id -un) may not write to.  Please run scripts/${0##*/} as root, or with sudo."
		exit 1
	fi
}

# ---------- work directory, sources, build ----------

# A directory that the user can reach and run programs in, which TMPDIR need not be.
# Its path stays short: a socket's may have 107 bytes.
make_work()
{
	local parent

	for parent in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
		[ ${#parent} -le 40 ] || continue
		work=$(mktemp -d "$parent/pool_optimizer.XXXXXX" 2>/dev/null) || continue
		chmod 755 "$work"
		[ -z "$run_as" ] || chown "$run_as" "$work"
		printf '#!/bin/sh\nexit 0\n' >"$work/probe"
		chmod 755 "$work/probe"
		if "${as_user[@]}" "$work/probe" 2>/dev/null; then
			rm "$work/probe"
			break
		fi
		rm -rf "$work"
		work=
	done
	[ -n "$work" ] || die "found no directory for temporary files where programs may run"
	cd "$work" || exit 1
	"${as_user[@]}" mkdir "$work/src" "$work/log" "$work/tmp" || exit 1
	export HOME=$work TMPDIR=$work/tmp
}

# The files git knows or would add; without git, all but what a build leaves.
list_sources()
{
	cd "$source_dir" || return
	if command -v git >/dev/null && [ -e .git ] &&
		git -c safe.directory='*' ls-files -z --cached --others --exclude-standard 2>/dev/null; then
		return
	fi
	find . \( -name .git -o -name 'tmp_check*' -o -name 'output_iso' -o -path ./results \
		-o -path ./log -o -path ./src/unit/build \) -prune -o \
		\( -type f -o -type l \) ! -name '*.o' ! -name '*.so' ! -name '*.bc' -print0
}

# To the output, as an archive.
pack_sources()
{
	local file

	list_sources |
		(cd "$source_dir" && while IFS= read -r -d '' file; do
			# A deleted file is still listed.
			if [ -e "$file" ] || [ -L "$file" ]; then
				printf '%s\0' "$file"
			fi
		done | tar --null -T - -cf -)
}

copy_sources()
{
	pack_sources |
		"${as_user[@]}" tar -xf - -C "$work/src" ||
		die "could not copy the sources from $source_dir"
	[ -f "$work/src/Makefile" ] || die "found no sources in $source_dir"
}

processors()
{
	nproc 2>/dev/null || echo 1
}

build()
{
	run_job "$work/log/build" make -s -C "$work/src" -j"$(processors)" PG_CONFIG="$pg_config"
}

# Into the directories of PostgreSQL, as "make install" does.  It is the one thing
# that stays: a server started later has to find it.
install_extension()
{
	local prefix=("${as_root[@]}")

	if may_write_there; then
		prefix=(env)
	fi
	"${prefix[@]}" make -C "$work/src" PG_CONFIG="$pg_config" install \
		>"$work/log/install" 2>&1 </dev/null
}
