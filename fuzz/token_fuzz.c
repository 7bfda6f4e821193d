/* token_fuzz.c: whatever text comes as a resume token, decoding gives a token or a typed error; and what decodes encodes
 * to the same text again. */
#include "change/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t log_id[16] = "a log's identity";
	struct token_key key;
	struct token t;
	struct err e = ERR_INIT;
	token_key_init(&key, log_id);
	int rc = token_decode(&key, slice_of(data, size), &t, &e);
	if (rc == 0) {
		char text[TOKEN_TEXT + 1];
		token_encode(&key, &t, text);
		ASSERT(size == TOKEN_TEXT && memcmp(text, data, size) == 0);
	} else {
		ASSERT(rc == ERR_TOKEN_CORRUPT || rc == ERR_TOKEN_FOREIGN || rc == ERR_VERSION);
		ASSERT(e.code == rc && e.msg[0]);
	}
	/* The same bytes as fields: every token survives the way through text. */
	if (size >= 22) {
		static const enum token_kind kinds[] = { TOKEN_MARK, TOKEN_EVENT,
							 TOKEN_INVALIDATE };
		struct token made = {
			.position = get_le64(data),
			.cluster_time = get_le64(data + 8),
			.check = get_le32(data + 16),
			.fragment = get_le16(data + 20),
			.kind = kinds[data[0] % 3],
		}, back;
		char text[TOKEN_TEXT + 1];
		token_encode(&key, &made, text);
		ASSERT(token_decode(&key, slice_of(text, TOKEN_TEXT), &back, &e) == 0);
		ASSERT(back.position == made.position && back.cluster_time == made.cluster_time &&
		       back.check == made.check && back.fragment == made.fragment &&
		       back.kind == made.kind);
	}
	return 0;
}
