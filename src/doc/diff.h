/* diff.h: from a before- and an after-image to the exact updateDescription of a change event, and back.
 *
 *	updatedFields      paths (dotted; array elements by index) to their values after the change
 *	removedFields      paths that are gone
 *	truncatedArrays    { field, newSize } of arrays that only got shorter at the end (besides edits)
 *	disambiguatedPaths only for paths whose text is ambiguous: keys with dots, numeric keys in objects
 *
 * Values count with type and bytes: int32 1 to int64 1 is a change. A document below the top whose fields changed
 * places is one updated field; at the top the fields from the first one out of place onward are listed, in their new
 * order. diff_apply(before, diff_docs(before, after)) is after, byte for byte, as long as no document repeats a name.
 */
#ifndef DOC_DIFF_H
#define DOC_DIFF_H

#include "doc/bson.h"

/* Puts the four fields into the open document of w (disambiguatedPaths only when not empty). 0 or negative. */
int diff_docs(struct slice before, struct slice after, struct bson_writer *w, struct err *e);

/* Applies an updateDescription to a before-image: appends the after-image to out. Field order of new fields is that
 * of updatedFields. */
int diff_apply(struct slice before, struct slice description, struct buf *out, struct err *e);

#endif
