"""Many documents through an endpoint: found, cut, sent, journalled and put together again."""
