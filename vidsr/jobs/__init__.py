"""The work on films: planned, cut into tasks, done by processes or a Ray cluster, resumed, published.

`film_job` is one film from start to end, `batch` many.
`scheduler` gives tasks to `process_pool` or `ray_cluster`; `estimate` says what a film will take."""
