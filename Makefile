# pool_optimizer: builds with PGXS.
#
#   make                build
#   make install        install (as whoever may write there)
#   make unit           the model's tests, without a server, under ASan and UBSan
#   make installcheck   regress, isolation and TAP tests, each on a server of its own
#   make lint           layers, exported symbols, formatting
#   make dist           the archive for PGXN, of what is committed
#   make check-all      unit and lint, then installcheck

EXTENSION = pool_optimizer
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(srcdir)/pool_optimizer.control)
MODULE_big = pool_optimizer
PGFILEDESC = "pool_optimizer - connection quotas, reclaiming and pool sizes"

# Lowest layer first: a file includes headers of earlier ones only (make lint).
OBJS = \
	src/model/po_histogram.o \
	src/model/po_listing.o \
	src/model/po_exposition.o \
	src/model/po_history.o \
	src/model/po_names.o \
	src/model/po_ascii.o \
	src/model/po_event_kind.o \
	src/model/po_normalise.o \
	src/model/po_packing.o \
	src/model/po_queueing.o \
	src/model/po_policy.o \
	src/model/po_admission.o \
	src/model/po_leak.o \
	src/model/po_brake.o \
	src/model/po_usl.o \
	src/model/po_alarm.o \
	src/model/po_recent.o \
	src/model/po_forecast.o \
	src/model/po_baseline.o \
	src/model/po_profile.o \
	src/model/po_finding.o \
	src/model/po_alert_rule.o \
	src/model/po_search.o \
	src/model/po_sentence.o \
	src/model/po_warmup.o \
	src/model/po_recommend.o \
	src/model/po_curve.o \
	src/model/po_client_size.o \
	src/model/po_instances.o \
	src/model/po_share.o \
	src/model/po_capacity.o \
	src/model/po_pooler_rows.o \
	src/model/po_pooler_clients.o \
	src/model/po_pooler_plan.o \
	src/model/po_cpu_time.o \
	src/model/po_cpu_limit.o \
	src/model/po_plot.o \
	src/model/po_repeats.o \
	src/po_guc.o \
	src/po_shmem.o \
	src/po_worker.o \
	src/po_events.o \
	src/po_pooler_table.o \
	src/po_client_table.o \
	src/po_resolve.o \
	src/po_registry.o \
	src/po_proc.o \
	src/po_cores.o \
	src/po_sharing.o \
	src/po_speed.o \
	src/po_stats.o \
	src/po_history_rings.o \
	src/po_history_cells.o \
	src/po_history_table.o \
	src/po_history_read.o \
	src/po_statement.o \
	src/po_statement_text.o \
	src/po_finding_table.o \
	src/po_sample.o \
	src/po_summary.o \
	src/po_alert_table.o \
	src/po_finding_words.o \
	src/po_alert_words.o \
	src/po_plan_look.o \
	src/po_evidence.o \
	src/po_clock.o \
	src/po_attribution.o \
	src/po_alert.o \
	src/po_finding_watch.o \
	src/po_standstill.o \
	src/po_act.o \
	src/po_judge.o \
	src/po_session.o \
	src/po_health.o \
	src/po_view.o \
	src/po_profile_table.o \
	src/po_metrics.o \
	src/po_policy_row.o \
	src/po_alert_row.o \
	src/po_finding_row.o \
	src/po_state.o \
	src/po_notify.o \
	src/po_history_keep.o \
	src/po_keeper.o \
	src/po_console.o \
	src/po_resize.o \
	src/po_pooler.o \
	src/po_reclaim.o \
	src/po_sampler.o \
	src/po_setter.o \
	src/po_change.o \
	src/po_policy_rls.o \
	src/po_policy_sql.o \
	src/po_text.o \
	src/po_alert_sql.o \
	src/po_finding_sql.o \
	src/po_client_config.o \
	src/po_html.o \
	src/po_report_query.o \
	src/po_report_data.o \
	src/po_report_history.o \
	src/po_report_advice.o \
	src/po_report_chart.o \
	src/po_report_page.o \
	src/po_report_sections.o \
	src/po_report_past.o \
	src/po_report_size.o \
	src/po_report_uses.o \
	src/po_report_now.o \
	src/po_report_verdict.o \
	src/po_report.o \
	src/po_publish.o \
	pool_optimizer.o

DATA = $(wildcard $(srcdir)/sql/$(EXTENSION)--*.sql)

PG_CPPFLAGS = -I$(srcdir)/src -I$(libpq_srcdir) -DPO_VERSION='"$(EXTVERSION)"'
# A release may be built by compilers that warn of more: make WERROR=
WERROR ?= -Werror
PG_CFLAGS = -Wall -Wextra $(WERROR) -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers
# The worker that visits PgBouncers is a client of theirs.
SHLIB_LINK_INTERNAL = $(libpq)
SHLIB_LINK = -lm

REGRESS = views policies patterns privileges errors accounting what_if client_config
REGRESS_OPTS = --temp-instance=./tmp_check --temp-config=$(srcdir)/src/unit/regress.conf
ISOLATION = policy_change
ISOLATION_OPTS = --temp-instance=./tmp_check_iso --temp-config=$(srcdir)/src/unit/isolation.conf
TAP_TESTS = 1
EXTRA_CLEAN = tmp_check tmp_check_iso output_iso results regression.diffs regression.out log

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Debian's PGXS does not track headers.
$(OBJS): $(wildcard $(srcdir)/src/*.h $(srcdir)/src/model/*.h)

.PHONY: unit lint check-all
unit:
	$(MAKE) -C $(srcdir)/src/unit check
	$(MAKE) -C $(srcdir)/sim check

lint: all
	perl $(srcdir)/src/unit/check_layers.pl $(srcdir) $(OBJS)
	sh $(srcdir)/src/unit/check_symbols.sh $(MODULE_big)$(DLSUFFIX)
	perl $(srcdir)/src/unit/check_meta.pl $(srcdir)

DISTDIR = $(CURDIR)
# PGXN wants three numbers; META.json has them.
DISTVERSION = $(shell sed -n 's/^   "version": "\(.*\)",$$/\1/p' $(srcdir)/META.json)

.PHONY: dist
dist:
	git -C $(srcdir) archive --format=zip --prefix=$(EXTENSION)-$(DISTVERSION)/ \
		--output=$(DISTDIR)/$(EXTENSION)-$(DISTVERSION).zip HEAD

check-all: unit lint
	$(MAKE) installcheck

clean: clean-unit
.PHONY: clean-unit
clean-unit:
	$(MAKE) -C $(srcdir)/src/unit clean
