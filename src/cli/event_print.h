/* event_print.h: change events as NDJSON, readable JSON, or a table for eyes. */
#ifndef CLI_EVENT_PRINT_H
#define CLI_EVENT_PRINT_H

#include "weir/weir.h"

#include <stdio.h>

enum event_format { EVENT_NDJSON, EVENT_CANONICAL, EVENT_PRETTY, EVENT_TABLE };

struct event_printer {
	enum event_format format;
	FILE *out;
	int width;         /* columns of the table */
	bool color;
	bool header_done;
	weir_buffer text;
};

void event_printer_init(struct event_printer *p, const char *format, FILE *out);
int event_print(struct event_printer *p, const weir_event *ev, weir_error *e);
/* The same for one that is a document, whatever a pipeline left of it. */
int event_print_doc(struct event_printer *p, weir_doc doc, weir_error *e);
void event_printer_done(struct event_printer *p);

#endif
