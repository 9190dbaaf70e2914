/*
 * po_report.c
 *		The report of pool_report: reads, judges, writes.
 *
 *		po_report_data.c, po_report_history.c
 *								read the views, by the SPI of po_report_query.c
 *		po_report_advice.c		what is wrong and what to do
 *		po_report_verdict.c, po_report_past.c, po_report_size.c, po_report_uses.c,
 *		po_report_now.c
 *								the sections
 *		po_report_page.c		style, head and foot
 *		po_report_chart.c		plots, by the arithmetic of model/po_plot.c
 *		po_html.c				text of others
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "po_report.h"
#include "po_report_data.h"
#include "po_report_history.h"
#include "po_report_page.h"
#include "po_report_sections.h"

static void
write_page(StringInfo out, PoReport *r)
{
	PoAdvice   *advice = palloc(sizeof(PoAdvice));

	po_report_advise(r, advice);
	po_report_page_begin(out, r);
	po_report_write_verdict(out, r, advice);
	po_report_write_utilization(out, r);
	po_report_write_tenants(out, r);
	po_report_write_what_if(out, r);
	po_report_write_uses(out, r);
	po_report_write_leaks(out, r);
	po_report_write_refusals(out, r);
	po_report_write_holders(out, r);
	po_report_write_changes(out, r);
	po_report_page_end(out, r);
}

char *
po_report_page(int64 since_us, Oid schema)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "report of pool_optimizer",
												  ALLOCSET_DEFAULT_SIZES);
	PoReport   *r;
	StringInfoData out;
	char	   *page;

	MemoryContextSwitchTo(context);
	r = palloc0(sizeof(PoReport));
	r->now = GetCurrentTimestamp();
	r->since_us = since_us;
	r->schema = pstrdup(quote_identifier(get_namespace_name(schema)));
	r->has_statements = OidIsValid(get_relname_relid("pool_findings", schema));
	r->has_alerts = OidIsValid(get_relname_relid("pool_alerts", schema));
	initStringInfo(&out);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
	po_report_read(r);
	po_report_read_history(r);
	write_page(&out, r);
	SPI_finish();
	MemoryContextSwitchTo(caller);
	page = pstrdup(out.data);
	MemoryContextDelete(context);
	return page;
}
