# Sourced by benchmarks/run: the parts, each a question that the table answers.

part_throughput() { # raw GET and SET of 100 bytes on one connection
    local round operation depth total contestant
    for ((round = 0; round < $(times 15); ++round)); do
        for operation in get set; do
            for depth in 1 16 64 256 1024; do
                case $depth in 1) total=$(size 10000) ;; 16) total=$(size 100000) ;; 64) total=$(size 250000) ;; *) total=$(size 1000000) ;; esac
                for contestant in $(in_turn $round floor redis-benchmark Boost.Redis luzia); do
                    closed_loop "$operation $depth in flight" $contestant $operation $depth "$total"
                done
            done
        done
    done
}

part_typed() { # a JSON document of 437 bytes as a struct
    local round depth contestant
    for ((round = 0; round < $(times 15); ++round)); do
        for depth in 1 64 256 1024; do
            for contestant in $(in_turn $round floor luzia); do
                figure "JSON get $depth in flight" $contestant "$programs/typed" "$port" $contestant $depth "$(size $((depth == 1 ? 10000 : 60000)))"
            done
        done
    done
}

part_values() { # larger values: bytes a second, and how often each byte is copied
    local round operation bytes depth total contestant
    for ((round = 0; round < $(times 7); ++round)); do
        for operation in get set; do
            for bytes in 1024 16384 262144 1048576; do
                case $bytes in 1024) depth=64 total=200000 ;; 16384) depth=64 total=40000 ;; 262144) depth=16 total=6000 ;; *) depth=8 total=2000 ;; esac
                for contestant in $(in_turn $round floor luzia Boost.Redis); do
                    closed_loop "$operation of $bytes bytes" $contestant $operation $depth "$(size $total)" $bytes
                done
                [ $operation = set ] && [ $bytes -gt 1024 ] || continue # what is shorter is copied in either case
                for contestant in $(in_turn $round floor luzia); do
                    closed_loop "set of $bytes bytes given away" $contestant give $depth "$(size $total)" $bytes
                done
            done
        done
    done
    for bytes in 1024 16384 262144 1048576; do
        for contestant in floor luzia Boost.Redis; do
            [ $contestant != Boost.Redis ] || [ -n "$boost_include" ] || continue
            case $bytes in 262144) depth=16 ;; 1048576) depth=8 ;; *) depth=64 ;; esac
            figure "get of $bytes bytes" $contestant python3 benchmarks/counts.py "$programs" "$port" $contestant get $depth $bytes copies
        done
    done
}

part_threads() { # one client shared by four threads
    local round threads connections client_core=() any_core
    any_core=$(IFS=, && echo "${cores[*]}")
    [ ${#server_core[@]} = 0 ] || taskset -apc "$any_core" $redis >/dev/null
    for ((round = 0; round < $(times 15); ++round)); do
        for connections in 1 4; do
            for threads in 1 4; do
                local contestant="$threads thread$([ $threads = 1 ] || echo s) $connections connection$([ $connections = 1 ] || echo s)"
                figure "256 in flight" "$contestant" "$programs/threads" "$port" $threads $connections 256 "$(size 300000)"
                figure "256 in flight by hand" "$contestant" "$programs/threads" "$port" $threads $connections 256 "$(size 300000)" floor
                figure "256 in flight of JSON" "$contestant" "$programs/threads" "$port" $threads $connections 256 "$(size 60000)" json
            done
        done
    done
    for threads in 1 4; do
        for connections in 1 4; do
            figure "256 in flight with its mutexes watched" "$threads thread$([ $threads = 1 ] || echo s) $connections connection$([ $connections = 1 ] || echo s)" \
                bash -o pipefail -c "LOCKS_PER=$(size 300000) '$programs/threads_watched' $port $threads $connections 256 $(size 300000) | grep lock"
        done
    done
    for connections in 1 4; do # strace slows the threads down, so that they meet less often than they would
        figure "256 in flight under strace" "4 threads $connections connection$([ $connections = 1 ] || echo s)" \
            bash -c "strace -f -c -e trace=futex -o '$private/futex' '$programs/threads' $port 4 $connections 256 $(size 100000) >'$private/ignored'
                     awk '\$NF == \"futex\" { print \"futex calls/op,\" \$4 / $(size 100000) }' '$private/futex'"
    done
    [ ${#server_core[@]} = 0 ] || taskset -apc "${cores[0]}" $redis >/dev/null
}

part_counts() { # what one operation costs, counted
    local contestant
    for contestant in floor luzia Boost.Redis; do
        [ $contestant != Boost.Redis ] || [ -n "$boost_include" ] || continue
        [ $contestant/$mode != Boost.Redis/quick ] || continue
        figure "get 64 in flight" $contestant python3 benchmarks/counts.py "$programs" "$port" $contestant get 64 100 memory instructions calls
        if [ $mode != quick ]; then
            figure "set 64 in flight" $contestant python3 benchmarks/counts.py "$programs" "$port" $contestant set 64 100 memory instructions calls
            figure "get 1 in flight" $contestant python3 benchmarks/counts.py "$programs" "$port" $contestant get 1 100 memory instructions calls
        fi
        figure "memory of a pending get" $contestant python3 benchmarks/counts.py "$programs" "$port" $contestant get 1 100 pending
    done
    for contestant in floor luzia; do
        figure "memory of an idle connected client" $contestant env LD_PRELOAD="$programs/counted.so" "$programs/idle" "$port" $contestant
    done
    if [ -n "$boost_include" ]; then
        figure "memory of an idle connected client" Boost.Redis env LD_PRELOAD="$programs/counted.so" "$programs/boost_redis" "$port" Boost.Redis idle 100 1
    fi
}

part_latency() { # a fixed rate, timed from when each operation was due
    local round percent rate peak contestant
    # Of the slowest contestant, the median of five runs.
    peak=$(for round in 1 2 3 4 5; do
        {
            "${client_core[@]}" "$programs/throughput" "$port" floor get 256 "$(size 300000)"
            "${client_core[@]}" "$programs/throughput" "$port" luzia get 256 "$(size 300000)"
            [ -z "$boost_include" ] || "${client_core[@]}" "$programs/boost_redis" "$port" Boost.Redis get 256 "$(size 300000)"
        } | awk -F, '$1 == "op/s" && (least == 0 || $2 < least) { least = $2 } END { printf "%d\n", least }'
    done | sort -n | sed -n 3p)
    for ((round = 0; round < $(times 5); ++round)); do
        for percent in 20 50 80; do
            rate=$((peak * percent / 100))
            for contestant in $(in_turn $round floor luzia Boost.Redis); do # three seconds each
                case $contestant in
                Boost.Redis) [ -z "$boost_include" ] ||
                    figure "$percent % of the peak: $rate/s" Boost.Redis "$programs/boost_redis" "$port" Boost.Redis rate $rate "$(size $((3 * rate)))" ;;
                *) figure "$percent % of the peak: $rate/s" $contestant "$programs/open_loop" "$port" $contestant $rate "$(size $((3 * rate)))" ;;
                esac
            done
        done
    done
}

part_many() { # 1,000 keys of 100 bytes
    local round contestant
    for ((round = 0; round < $(times 7); ++round)); do
        for contestant in mget-by-hand gets-by-hand get_many gets; do
            figure "1000 keys" $contestant "$programs/many" "$port" $contestant 1000 "$(size 300)"
        done
    done
}

part_invalidate() { # every tenth key of many removed by a pattern, while another coroutine reads
    local round keys start
    keys=$(size 1000000)
    for ((round = 0; round < $(times 3); ++round)); do
        ask flushall >/dev/null
        "$programs/invalidate" "$port" fill "$keys"
        figure "$keys keys" luzia "$programs/invalidate" "$port" measure
    done
    "$programs/invalidate" "$port" fill "$keys"
    start=$(date +%s%N)
    "${client_core[@]}" redis-cli -p "$port" --scan --pattern 'match:*' | "${client_core[@]}" xargs redis-cli -p "$port" unlink >/dev/null
    echo "$part,$keys keys,redis-cli: SCAN of 10 and UNLINK,s,$(awk "BEGIN { print ($(date +%s%N) - $start) / 1e9 }")" >>"$figures"
}

compile_with() { # compiler
    command -v "$1" >/dev/null || { echo "no $1 here: left out" >&2; return 0; }
    local round libraries=(-lspdlog -lfmt) used="$1 -O2 a file that uses a client" apart=-DLUZIA_SEPARATE_COMPILATION
    echo '#include <luzia/src.hpp>' >"$build/src.cpp"
    compile() { # case, contestant, source, argument...
        figure "$1" "$2" python3 benchmarks/compile/measure.py "${1%% *}" "${@:3}"
    }
    for ((round = 0; round < $(times 3); ++round)); do
        compile "$1 -O2" baseline benchmarks/compile/baseline.cpp "${libraries[@]}"
        [ "$mode/$1" != quick/clang++ ] || return 0
        compile "$1 -O2" luzia benchmarks/compile/luzia.cpp -Iinclude "${libraries[@]}" -lhiredis
        compile "$1 -O2" "luzia apart" benchmarks/compile/luzia.cpp -Iinclude $apart
        if [ $mode != quick ] && [ -n "$boost_include" ]; then
            compile "$1 -O2" Boost.Redis benchmarks/compile/boost_redis.cpp -I"$boost_include" "${libraries[@]}" -lssl -lcrypto
            compile "$1 -O2" "Boost.Redis apart" benchmarks/compile/boost_redis.cpp -I"$boost_include" -DAPART
        fi
        compile "$used" baseline benchmarks/compile/baseline_used.cpp
        compile "$used" luzia benchmarks/compile/luzia_used.cpp -Iinclude
        compile "$used" "luzia apart" benchmarks/compile/luzia_used.cpp -Iinclude $apart
        compile "$1 -O2 the engine's own file" "luzia apart" "$build/src.cpp" -Iinclude $apart
    done
}

part_compile_gcc() { compile_with g++; }     # a program of 20 lines
part_compile_clang() { compile_with clang++; }

part_growth() { # whether an operation costs the same however many there are
    local round depth connections contestant keys
    for ((round = 0; round < $(times 7); ++round)); do
        for depth in 1 10 100 1000 10000 100000; do
            for contestant in $(in_turn $round floor luzia); do
                closed_loop "$depth pending" $contestant get $depth "$(size $((depth == 1 ? 10000 : depth < 1000 ? 200000 : depth < 100000 ? 400000 : 2000000)) $depth)"
            done
        done
        for connections in 1 2 4 8 16; do
            figure "$connections connections" luzia "$programs/threads" "$port" 1 $connections 256 "$(size 200000)" # stores the keys
            figure "$connections connections" floor "$programs/threads" "$port" 1 $connections 256 "$(size 200000)" floor
        done
    done
    local sizes=(10 1000 100000 1000000 10000000)
    [ $mode != quick ] || sizes=(10 1000 100000)
    for keys in "${sizes[@]}"; do
        ask flushall >/dev/null
        "$programs/invalidate" "$port" fill "$keys"
        figure "pattern walk of $keys keys" luzia bash -o pipefail -c "'$programs/invalidate' $port measure | awk -F, '\$1 == \"s\" { print \"us/key,\" \$2 / $keys * 1e6 }'"
    done
}

part_pieces() { # in-process, by Google Benchmark: time of the processor
    [ -x "$programs/pieces" ] || { echo "no Google Benchmark here: left out" >&2; return 0; }
    "$programs/pieces" --benchmark_format=csv --benchmark_repetitions="$(times 3)" --benchmark_min_time="$([ $mode = quick ] && echo 0.01 || echo 0.15)" 2>/dev/null |
        awk -F, -v part="$part" '$1 ~ /^"/ && $1 !~ /_(mean|median|stddev|cv)"$/ { gsub(/"/, "", $1); sub(/:\//, ": ", $1); print part "," $1 ",luzia,ns," ($7 != "" ? 1e9 / $7 : $4) }' >>"$figures"
}
