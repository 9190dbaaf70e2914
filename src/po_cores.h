/*
 * po_cores.h
 *		Processors that the server may use, which in a container are not all there are.
 */
#ifndef PO_CORES_H
#define PO_CORES_H

/* At least 1; looked up once a minute, as a container may be given others. */
extern int	po_cores_usable(void);

#endif							/* PO_CORES_H */
