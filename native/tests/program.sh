#!/usr/bin/env bash
# Tests of the programs as a user runs them: program.sh BUILD_DIRECTORY
set -u
build=$(cd "$1" && pwd)
source_of_this=$(cd "$(dirname "$0")" && pwd)/program.sh
smh=$build/smh
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room" || exit 1
failures=0
count=0

fail() {
    echo "FAILED $*"
    failures=$((failures + 1))
}

# expect CODE PART COMMAND...: the exit code, and a part of standard error
expect() {
    local code=$1 part=$2
    shift 2
    "$@" >out 2>err </dev/null
    local found=$?
    count=$((count + 1))
    [ $found -eq "$code" ] || fail "exit code $found, expected $code: $*: $(cat err)"
    [ -z "$part" ] || grep -qF -- "$part" err || fail "expected \"$part\" of: $*: $(cat err)"
}

# same NAME WHAT FILE FILE
same() {
    count=$((count + 1))
    cmp -s "$2" "$3" || fail "$1: $2 and $3 differ"
}

# A corpus: five topics of six items, and noise. AWK's own generator, so that it is small.
awk 'BEGIN { seed = 1
  for (d = 0; d < 400; ++d) {
    delete held; n = 0; line = ""
    for (i = 0; i < 8; ++i) {
      seed = (seed * 1103515245 + 12345) % 2147483648
      item = i < 6 ? (d % 5) * 6 + int(seed / 65536) % 6 : 30 + int(seed / 65536) % 50
      if (!(item in held)) { held[item] = 1; ++n; line = line " " item ":" (1 + item % 3) }
    }
    print n line
  } }' >corpus.words

expect 0 "400 rows of corpus.words" "$smh" ifindex corpus.words corpus.ifs
expect 0 "tuple_size 2" "$smh" discover -r 2 -l 100 corpus.ifs one.model
[ -s one.model ] || fail "the model is empty"

# every spelling, every number of threads, the reference's name, pipes
expect 0 "mined sets" "$smh" discover --tuple_size=2 --number_of_tuples 100 corpus.ifs two.model
same "long names" one.model two.model
expect 0 "threads 3" "$smh" discover -r2 -l100 --threads 3 corpus.ifs two.model
same "threads" one.model two.model
expect 0 "discover:" "$build/smhcmd" discover -r 2 -l 100 -t 1024 -z 7 -s 3 -x 3 -y 255 -o 0.7 -c 3 \
    --seed 12345678 corpus.ifs two.model
same "defaults" one.model two.model
"$smh" discover -r 2 -l 100 - - <corpus.ifs >two.model 2>/dev/null || fail "pipe"
same "pipe" one.model two.model
"$smh" discover -r 2 -l 100 corpus.ifs /dev/stdout 2>/dev/null | cat >two.model
same "device" one.model two.model
expect 0 "seed 1," "$smh" discover -r 2 -l 100 --seed 1 corpus.ifs two.model
cmp -s one.model two.model && fail "the seed changes nothing"
expect 0 "expand yes" "$smh" discover -er2 -l 100 corpus.ifs two.model
cmp -s one.model two.model && fail "expansion changes nothing"

# weights
expect 0 "400 ids weights" "$smh" weights -w ids corpus.words corpus.ifs ids.weights
expect 0 "80 idf weights" "$smh" weights corpus.words corpus.ifs idf.weights
expect 0 "weights ids.weights" "$smh" discover -r 2 -l 100 -w ids.weights corpus.ifs two.model
expect 1 "idf.weights: 80 weights for documents up to number 399" \
    "$smh" discover -w idf.weights corpus.ifs two.model
expect 2 "--weights must be idf or ids, got 'tf'" "$smh" weights -w tf corpus.words corpus.ifs x
yes 1 | head -400 >ones.weights
yes 1 | head -500 >many.weights
expect 0 "weights ones.weights" "$smh" discover -r 2 -l 100 -w ones.weights corpus.ifs two.model
expect 0 "has 500 weights" "$smh" discover -r 2 -l 100 -w many.weights corpus.ifs three.model
same "surplus weights" two.model three.model

# the same through streams: documents numbered in hexadecimal, split in two
words_to_documents() {
    perl -e 'while (<STDIN>) { my ($n, @e) = split; print pack("V2V*", $. - 1 + $ARGV[0], $n, map { (split ":")[0] } @e) }' "$1"
}
if command -v perl >/dev/null; then
    head -150 corpus.words | words_to_documents 0 | "$smh" sketch -r 2 -l 100 >a.smhs || fail sketch
    tail -250 corpus.words | words_to_documents 150 | "$smh" sketch --tuple-size 2 --tables 100 \
        --threads 2 >b.smhs || fail sketch
    words_to_documents 0 <corpus.words | "$smh" sketch -r 2 -l 100 >whole.smhs || fail sketch
    "$smh" merge a.smhs - <b.smhs >merged.smhs || fail merge
    same "merged parts" merged.smhs whole.smhs
    "$smh" mine merged.smhs >sets.smhc || fail mine
    "$smh" cluster sets.smhc >links.smhl || fail cluster
    "$smh" mine --threads 2 - <merged.smhs | "$smh" cluster --threads 2 >two.smhl || fail cluster
    same "threads of streams" links.smhl two.smhl
    words_to_documents 0 <corpus.words | "$smh" find -r 2 -l 100 --threads 2 >found.smhc || fail find
    same "sketch and mine at once" found.smhc sets.smhc
    [ "$(wc -c <links.smhl)" -gt 8 ] || fail "no links"
    expect 0 "" "$smh" mine --table-begin 3 --table-end 3 merged.smhs
    [ "$(wc -c <out)" -eq 8 ] || fail "no tables must give no sets"
    expect 1 "tables 0..101 are not a range within the 100 there are" \
        "$smh" mine --table-end 101 merged.smhs
    head -c 1000 merged.smhs >cut.smhs
    expect 1 "cut.smhs: byte 1000: the stream ends within a row's minima" "$smh" mine cut.smhs
    expect 1 "byte 1000" "$smh" merge whole.smhs cut.smhs
fi

# groups of words
if command -v perl >/dev/null; then
    perl -e 'print "SMHW", pack("V*", 1, 1, 2, 9, 1, 1, 3, 9, 1, 2, 3, 9, 0)' >words.smhw
    expect 0 "progress 0 2" "$smh" grow --progress --threads 2 words.smhw
    [ "$(od -An -tu4 -j8 out | tr -s ' ')" = " 3 1 2 3" ] || fail "the group: $(od -tu4 out)"
    expect 0 "" "$smh" grow --min-size 4 words.smhw
    [ "$(wc -c <out)" -eq 8 ] || fail "a group that is too small"
    expect 1 "whole.smhs: byte 0: not a SMHW stream" "$smh" grow whole.smhs
fi
expect 2 "--max-similarity must be a number within" "$smh" grow --max-similarity 0

# a wrong word on the command line
expect 2 "a command is needed" "$smh"
expect 2 "there is no command 'seek'" "$smh" seek
expect 2 "there is no option --tables" "$smh" discover --tables 3 a b
expect 2 "there is no option -q" "$smh" discover -q a b
expect 2 "--tuple-size is given twice" "$smh" discover -r 2 --tuple_size 3 a b
expect 2 "--tuple-size needs a value" "$smh" discover a b -r
expect 2 "--expand takes no value" "$smh" discover --expand=1 a b
expect 2 "within 1..16777216, got '0'" "$smh" discover -r 0 a b
expect 2 "got '2x'" "$smh" discover -r 2x a b
expect 2 "--table-size must be a power of two, got '1000'" "$smh" discover -t 1000 a b
expect 2 "--overlap must be a number within 0..1, got 'nan'" "$smh" discover -o nan a b
expect 2 "tuple size times number of tuples is 20000000" "$smh" discover -r 20 -l 1000000 a b
expect 2 "expected IFS MODEL, got 1 operands" "$smh" discover a
expect 2 "--tables must be given" "$smh" sketch --tuple-size 2
expect 2 "--table-begin 4 is after --table-end 3" "$smh" mine --table-begin 4 --table-end 3

# help
for command in ifindex weights discover sketch merge mine find cluster grow; do
    expect 0 "" "$smh" $command --help
    grep -q "usage: smh $command" out || fail "help of $command"
done
expect 0 "" "$smh" --help
expect 0 "" "$smh" --version

# wrong input
expect 1 "none.ifs: cannot be opened: No such file or directory" "$smh" discover none.ifs x.model
expect 1 ".: cannot be read: Is a directory" "$smh" discover . x.model
printf '1 1:1\n2 0:1\n' >bad.ifs
expect 1 "bad.ifs: line 2: announces 2 entries and has 1" "$smh" discover bad.ifs x.model
[ -e x.model ] && fail "a failed run left a model"
printf '1 0:4294967295\n' >huge.ifs
expect 1 "huge.ifs: item 0, document 0 has frequency 4294967295; with expansion the limit is" \
    "$smh" discover -e huge.ifs x.model
printf '1 4294967295:1\n' >wide.words
expect 1 "wide.words: row 0: id 4294967295 would make an inverted file of 4294967296 lines" \
    "$smh" ifindex wide.words x.ifs
expect 0 "1 items" "$smh" discover wide.words x.model

# little or nothing
: >empty.words
expect 0 "0 rows of empty.words" "$smh" ifindex empty.words empty.ifs
expect 0 "0 structures" "$smh" discover empty.ifs empty.model
[ -s empty.model ] && fail "something from nothing"
expect 0 "" "$smh" sketch -r 2 -l 3
[ "$(wc -c <out)" -eq 20 ] || fail "an empty stream has a header"
printf '3 0:1 1:1 2:1\n' >single.words
expect 0 "3 rows of single.ifs" "$smh" ifindex single.words single.ifs
expect 0 "1 structures" "$smh" discover single.ifs single.model
[ "$(cat single.model)" = "3 0:255 1:255 2:255" ] || fail "one document: $(cat single.model)"

# the last write
if [ -w /dev/full ]; then
    expect 1 "/dev/full: cannot be written: No space left on device" \
        "$smh" discover -r 2 -l 100 corpus.ifs /dev/full
    expect 1 "No space left" "$smh" ifindex corpus.words /dev/full
    for command in "--help" "ifindex corpus.words -" "sketch -r 1 -l 1"; do
        "$smh" $command >/dev/full 2>err </dev/null
        [ $? -eq 1 ] || fail "$command to a full device"
        grep -q "No space left" err || fail "$command to a full device: $(cat err)"
        count=$((count + 1))
    done
fi
"$smh" ifindex corpus.words - >&- 2>err && fail "a closed output"
grep -q "cannot be written" err || fail "a closed output: $(cat err)"
for ((i = 0; i < 300; ++i)); do cat corpus.words; done >long.words
(
    "$smh" ifindex long.words - 2>err
    echo $? >code
) | head -c 1 >/dev/null
[ "$(cat code)" = 1 ] && grep -q "Broken pipe" err || fail "a closed pipe: $(cat code err)"

# what was there stays until the new file is whole, also through a link
echo precious >kept.model
ln -s kept.model link.model
expect 1 "line 2" "$smh" discover bad.ifs kept.model
[ "$(cat kept.model)" = precious ] || fail "a failed run changed the model"
chmod 600 kept.model
expect 0 "1 structures" "$smh" discover single.ifs link.model
same "through a link" kept.model single.model
[ -L link.model ] || fail "the link was replaced"
[ "$(stat -c %a kept.model)" = 600 ] || fail "the mode changed"
(
    ulimit -f 1
    "$smh" ifindex long.words kept.model 2>err
    echo $? >code
)
[ "$(cat code)" = 1 ] && grep -q "File too large" err || fail "over the limit: $(cat code err)"
same "over the limit" kept.model single.model
expect 1 "no/such/place: cannot be written: No such file or directory" \
    "$smh" ifindex single.words no/such/place
expect 1 ".: is a directory" "$smh" discover single.ifs .
[ -z "$(find . -name '*.part*')" ] || fail "temporary files are left"

# the library's other program
expect 0 "" "$build/pairs" single.ifs
[ "$(wc -l <out)" -eq 3 ] || fail "pairs"

# the map of files in the manual
here=$(dirname "$source_of_this")
for file in "$here"/../src/*.cpp "$here"/../src/*.hpp "$here"/../examples/*.cpp; do
    name=$(basename "$file")
    grep -qF -e "${name%.*}" "$here/../README.md" || fail "README.md does not name $name"
    count=$((count + 1))
done

echo "$count program checks, $failures failed"
[ $failures -eq 0 ]
