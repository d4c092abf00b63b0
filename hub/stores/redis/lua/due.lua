-- ok: forks that are to be looked for, each as the whole hold, with the time of that
return {'ok', redis.call('ZRANGEBYSCORE', HOLDS, '-inf', text(now()), 'WITHSCORES', 'LIMIT', 0, 100)}
