SELECT sum(s.orders) AS orders, sum(s.total) AS total FROM sales s;
