#!/usr/bin/perl
#
# corpus.pl unpack FILE... DIR | pack DIR FILE
#		A fuzzer's corpus as one file of text, a line of hexadecimal digits for each
#		input, and as the directory of files that libFuzzer works on.
#
use strict;
use warnings FATAL => 'all';

use File::Path qw(make_path);
use File::Basename qw(dirname);

# A file that is not there is an empty one.
sub unpack_corpus
{
	my (@files) = @_;
	my $dir = pop @files;
	my $n = 0;

	make_path($dir);
	foreach my $file (grep { -e $_ } @files)
	{
		open(my $in, '<', $file) or die "$file: $!\n";
		while (my $line = <$in>)
		{
			chomp $line;
			open(my $out, '>:raw', sprintf('%s/%05d', $dir, $n++)) or die "$dir: $!\n";
			print {$out} pack('H*', $line);
			close($out) or die "$dir: $!\n";
		}
		close($in);
	}
	return;
}

# Sorted, so that what stayed the same is no difference.
sub pack_corpus
{
	my ($dir, $file) = @_;
	my %lines;

	foreach my $path (glob("$dir/*"))
	{
		open(my $in, '<:raw', $path) or die "$path: $!\n";
		my $bytes = do { local $/ = undef; <$in> } // '';
		close($in);
		$lines{ unpack('H*', $bytes) } = 1;
	}
	make_path(dirname($file));
	open(my $out, '>', $file) or die "$file: $!\n";
	print {$out} map { "$_\n" } sort keys %lines;
	close($out) or die "$file: $!\n";
	return;
}

my ($what, @paths) = @ARGV;
die "usage: corpus.pl unpack FILE... DIR | pack DIR FILE\n" unless @paths > 1;
if    ($what eq 'unpack') { unpack_corpus(@paths) }
elsif ($what eq 'pack')   { pack_corpus(@paths) }
else                      { die "corpus.pl: unknown: $what\n" }
