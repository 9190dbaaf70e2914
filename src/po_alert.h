/*
 * po_alert.h
 *		What somebody should hear of before it hurts.
 */
#ifndef PO_ALERT_H
#define PO_ALERT_H

/*
 * Tells once, by event and LOG line, that the server's connections are nearly used up
 * (critical_threshold) and who has them; and once that it is over (warning_threshold).
 * For the sampler, about once a second.
 */
extern void po_alert_connections(void);

#endif							/* PO_ALERT_H */
