-- one of two files of a folder that a test applies twice
SELECT activate.create_sync('folder_orders', 'SELECT id, qty FROM code_test.orders WHERE qty > 0;', 'id', 'code_crm', object => 'deals',
	schedule => 'after folder_health', if_exists => 'replace') > 0 AS ok;
