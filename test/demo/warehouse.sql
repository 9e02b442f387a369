/*
 * A small warehouse: what a company knows about 240 accounts, and a view that
 * makes one number of it. All values follow from row numbers, so that each
 * demo sees the same.
 */
CREATE SCHEMA warehouse;
CREATE SCHEMA analytics;

CREATE TABLE warehouse.accounts (
	account_id	int PRIMARY KEY,
	name		text NOT NULL,
	plan		text NOT NULL,
	billing_email text NOT NULL,
	signed_on	date NOT NULL
);

CREATE TABLE warehouse.usage_events (
	account_id	int NOT NULL,
	week		date NOT NULL,
	active_users int NOT NULL,
	PRIMARY KEY (account_id, week)
);

CREATE TABLE warehouse.tickets (
	ticket_id	int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	account_id	int NOT NULL,
	severity	text NOT NULL,
	opened_on	date NOT NULL,
	closed_on	date
);

CREATE TABLE warehouse.invoices (
	invoice_id	int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	account_id	int NOT NULL,
	amount		numeric(10,2) NOT NULL,
	due_on		date NOT NULL,
	paid_on		date
);

INSERT INTO warehouse.accounts
SELECT id, first || ' ' || second, (ARRAY['starter', 'team', 'team', 'enterprise'])[1 + id % 4],
	'billing@' || lower(first || '-' || second) || '.example', date '2021-03-01' + id * 5
FROM (SELECT i AS id,
		(ARRAY['Alder', 'Basalt', 'Cobalt', 'Delta', 'Ember', 'Fjord', 'Granite', 'Harbour', 'Indigo', 'Juniper',
			'Kestrel', 'Lumen', 'Meridian', 'Northwind', 'Orchard', 'Pioneer'])[1 + (i - 1) % 16] AS first,
		(ARRAY['Analytics', 'Bakeries', 'Clinics', 'Energy', 'Foods', 'Freight', 'Games', 'Health', 'Insurance',
			'Labs', 'Logistics', 'Media', 'Optics', 'Robotics', 'Textiles'])[1 + (i - 1) % 15] AS second
	FROM generate_series(1, 240) AS i) AS names;

-- Eight weeks of active users: most accounts grow, some fade.
INSERT INTO warehouse.usage_events
SELECT i, date '2026-09-28' + 7 * w,
	greatest(0, 12 + (i * 37) % 60 + w * ((i * 13) % 7 - 2) * (1 + i % 3))
FROM generate_series(1, 240) AS i, generate_series(0, 7) AS w;

INSERT INTO warehouse.tickets (account_id, severity, opened_on, closed_on)
SELECT 1 + (t * 53) % 240, (ARRAY['low', 'low', 'normal', 'urgent'])[1 + (t * 7) % 4],
	date '2026-10-01' + t % 40, CASE WHEN t % 3 > 0 THEN date '2026-10-03' + t % 40 END
FROM generate_series(1, 420) AS t;

INSERT INTO warehouse.invoices (account_id, amount, due_on, paid_on)
SELECT i, 90 + (i * 71) % 900, date '2026-09-15' + 30 * m,
	CASE WHEN (i + m) % 9 > 0 THEN date '2026-09-12' + 30 * m END
FROM generate_series(1, 240) AS i, generate_series(0, 1) AS m;

/*
 * The model: one row an account, 100 points less what is wrong with it. It is
 * as of the last week loaded, not of now(): a score that moves with the clock
 * would be sent again by every run.
 */
CREATE VIEW analytics.customer_health AS
WITH today AS (SELECT max(week) AS day FROM warehouse.usage_events),
usage AS (
	SELECT account_id, (array_agg(active_users ORDER BY week DESC))[1] AS active_users,
		round(avg(active_users) FILTER (WHERE week < day), 1) AS before
	FROM warehouse.usage_events, today GROUP BY account_id),
support AS (
	SELECT account_id, count(*) AS open_tickets,
		sum(CASE severity WHEN 'urgent' THEN 15 WHEN 'normal' THEN 6 ELSE 2 END) AS points
	FROM warehouse.tickets WHERE closed_on IS NULL GROUP BY account_id),
billing AS (
	SELECT account_id, sum(amount) AS overdue
	FROM warehouse.invoices, today WHERE paid_on IS NULL AND due_on < day GROUP BY account_id),
scored AS (
	SELECT a.account_id, a.name, a.plan, a.billing_email, u.active_users,
		coalesce(s.open_tickets, 0) AS open_tickets, coalesce(b.overdue, 0.00) AS overdue,
		greatest(0, 100 - coalesce(s.points, 0)
			- least(40, greatest(0, coalesce(round(100 * (u.before - u.active_users) / nullif(u.before, 0)), 0)))
			- CASE WHEN b.overdue > 0 THEN 20 ELSE 0 END) AS score
	FROM warehouse.accounts AS a
		LEFT JOIN usage AS u USING (account_id)
		LEFT JOIN support AS s USING (account_id)
		LEFT JOIN billing AS b USING (account_id))
SELECT *, CASE WHEN score >= 80 THEN 'healthy' WHEN score >= 50 THEN 'watch' ELSE 'at risk' END AS tier
FROM scored;
