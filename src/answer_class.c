/*-------------------------------------------------------------------------
 *
 * answer_class.c
 *	  What answers mean: the one table of it.
 *
 * Two questions decide on a class.  May the request have been applied?  Then
 * its rows are in doubt whatever comes later, so only what cannot have been
 * applied may be called anything else.  And would another row, another moment
 * or another setting change the answer?  That tells a row's fault from the
 * destination's state and from how it is set up; only rows are charged, and
 * only for their own.
 *
 * Pure data: needs no transaction, does not throw.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "answer_class.h"

#define ANY_OTHER 0, PG_INT32_MAX

const AnswerClassInfo act_answer_classes[ANSWER_CLASS_COUNT] = {
	[ANSWER_ACCEPTED] = {"accepted", VERDICT_ROWS, "rows", "accepted",
	"each row has the outcome that the answer names for it; where it names none, all are accepted"},
	[ANSWER_ROW_REFUSED] = {"row refused", VERDICT_ROWS, NULL, "rejected",
	"one attempt is charged to the row, which is tried again with back-off until `max_attempts`, then parked"},
	[ANSWER_REFUSED_FOR_GOOD] = {"refused for good", VERDICT_REFUSED, "refuse, with `\"final\": true`", "refused",
	"the row is not sent again until it changes or somebody asks for it; of a batch, the row that causes it is searched first"},
	[ANSWER_BATCH_REFUSED] = {"batch refused", VERDICT_REFUSED, "refuse", NULL,
	"taken apart until the row that causes it stands alone, which is then refused; the others are sent"},
	[ANSWER_TOO_LARGE] = {"too large", VERDICT_TOO_LARGE, "halve", NULL,
	"sent again in two halves; a row that is too large alone is refused"},
	[ANSWER_THROTTLED] = {"throttled", VERDICT_THROTTLED, "throttle", "throttled",
	"the whole destination is left alone for as long as it asks; no attempt, no try is charged"},
	[ANSWER_TRANSIENT] = {"transient", VERDICT_UNREACHED, "retry", "retry",
	"certainly not applied: tried again, up to 5 times in a run with growing random pauses; then delayed"},
	[ANSWER_UNCERTAIN] = {"uncertain", VERDICT_UNCERTAIN, "uncertain", NULL,
	"may have been applied: tried again in the same way, then in doubt; not idempotent: `unknown` at once"},
	[ANSWER_AUTH] = {"auth", VERDICT_AUTH, "auth", NULL,
	"the run stops and says why; no row is charged"},
	[ANSWER_CONFIGURATION] = {"configuration", VERDICT_CONFIGURATION, "configuration", NULL,
	"the run stops and says what to change; no row is charged"},
	[ANSWER_FOUND] = {"found", VERDICT_REFUSED, "found", "found",
	"the record is there already: the row goes again as an update of it, where there is one; else it is refused. Of a batch, the row is searched first"},
	[ANSWER_ABSENT] = {"absent", VERDICT_REFUSED, "absent", "absent",
	"the record is not there: the row is `absent`, or as the operation says. Of a batch, the row is searched first"},
};

const AnswerStatus act_answer_statuses[] = {
	{200, 299, false, ANSWER_ACCEPTED,
	"a success; what it says of single rows counts"},
	{300, 399, false, ANSWER_CONFIGURATION,
	"redirects are not followed: data and credentials go nowhere but where the server's option says"},
	{401, 401, false, ANSWER_AUTH,
	"the credentials are read once more, and the batch goes again where they have changed meanwhile"},
	{402, 402, false, ANSWER_CONFIGURATION,
	"the account, not the row: somebody has to pay"},
	{403, 403, false, ANSWER_AUTH,
	"who asks is known and may not; the same credentials, read again, may no more"},
	{404, 405, false, ANSWER_CONFIGURATION,
	"of the whole request: the address or the object is wrong"},
	{406, 406, false, ANSWER_CONFIGURATION,
	"about a header that all requests have"},
	{407, 407, false, ANSWER_AUTH,
	"the proxy's credentials, which stand in the server's option"},
	{408, 408, false, ANSWER_UNCERTAIN,
	"the destination says that it did not get the request in time, a proxy before it may say so after it went through"},
	{410, 410, false, ANSWER_CONFIGURATION,
	"the address existed once"},
	{411, 411, false, ANSWER_CONFIGURATION,
	"every request has a length: something on the way takes it off"},
	{413, 414, false, ANSWER_TOO_LARGE,
	"fewer rows make a smaller body, and a shorter address"},
	{415, 415, false, ANSWER_CONFIGURATION,
	"about a header that all requests have"},
	{417, 417, false, ANSWER_CONFIGURATION,
	"nothing is expected: something on the way adds it"},
	{421, 421, false, ANSWER_TRANSIENT,
	"the wrong connection; not looked at"},
	{425, 425, false, ANSWER_TRANSIENT,
	"too early, and not looked at"},
	{426, 426, false, ANSWER_CONFIGURATION,
	"it wants another protocol"},
	{428, 428, false, ANSWER_CONFIGURATION,
	"it wants a condition that the connector does not send"},
	{429, 429, false, ANSWER_THROTTLED,
	"too many requests, certainly not applied"},
	{431, 431, false, ANSWER_CONFIGURATION,
	"headers do not depend on rows"},
	{400, 499, false, ANSWER_BATCH_REFUSED,
	"certainly not applied; also 409, 412, 422, 423, 424 and 451: a record that is locked, in conflict or withheld is one row's matter, and where it is everybody's, the brake stops the run"},
	{501, 501, false, ANSWER_CONFIGURATION,
	"it does not know the method: not applied, and never will be"},
	{503, 503, true, ANSWER_THROTTLED,
	"it says when to come again, so it is the destination itself that turned the request away"},
	{505, 505, false, ANSWER_CONFIGURATION,
	"it does not speak this version of HTTP"},
	{511, 511, false, ANSWER_CONFIGURATION,
	"a network that wants a login stands between"},
	{500, 599, false, ANSWER_UNCERTAIN,
	"a server that fails may have applied some of it before: 500, 502, 503 without `Retry-After`, 504; 507, too, for it may have run out of space half way"},
	{ANY_OTHER, false, ANSWER_UNCERTAIN,
	"1xx is no answer yet, and below 100 or above 599 it is none of HTTP: nothing is known"},
};
const int	act_answer_status_count = lengthof(act_answer_statuses);

const AnswerTransport act_answer_transports[HTTP_TRANSPORT_COUNT] = {
	[HTTP_ANSWERED] = {"a whole answer", ANSWER_ACCEPTED,
	"by its status, as above"},
	[HTTP_FORBIDDEN] = {"an address or scheme that is not allowed", ANSWER_CONFIGURATION,
	"nothing was sent; the error says which line to add"},
	[HTTP_UNRESOLVED] = {"a host name that does not exist", ANSWER_CONFIGURATION,
	"nothing was sent, and the name server is sure"},
	[HTTP_UNREACHED] = {"no connection, or a name server that does not answer", ANSWER_TRANSIENT,
	"nothing was sent, and a moment later it may work; where it does not, the destination is down"},
	[HTTP_UNTRUSTED] = {"a certificate that is expired, of another host or of an unknown issuer", ANSWER_CONFIGURATION,
	"nothing was sent"},
	[HTTP_LOST] = {"a connection lost, a timeout, an answer cut off", ANSWER_UNCERTAIN,
	"the request was on its way"},
	[HTTP_TOO_LARGE] = {"an answer larger than `pg_activate.max_response_bytes`", ANSWER_UNCERTAIN,
	"it may well say that it worked"},
};

AnswerClass
act_answer_status_class(int status, bool with_retry_after)
{
	for (int i = 0; i < act_answer_status_count; i++)
	{
		const AnswerStatus *range = &act_answer_statuses[i];

		if (status >= range->from && status <= range->to && (with_retry_after || !range->with_retry_after))
			return range->class;
	}
	return ANSWER_UNCERTAIN;
}
