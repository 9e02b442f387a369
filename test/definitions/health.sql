-- one of two files of a folder that a test applies twice
SELECT activate.create_sync('folder_health', 'code_test.health', 'id', 'code_crm', object => 'contacts',
	match => 'email', mapping => $$ email, round(score, 1) AS score, 'warehouse' AS source $$,
	mode => 'mirror', on_removed => 'clear', schedule => '15 minutes',
	options => '{"max_removed": "2 %", "remove_after": "2 hours"}', if_exists => 'replace') > 0 AS ok;
